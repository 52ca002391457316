"""Speed: latency of exported models on this machine, and on a Jetson where there is one."""
