"""The Jetson: engines built and timed in place, or an archive that does it on the device and results brought back."""
