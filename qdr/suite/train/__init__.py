"""Training: one loop, its schedule, its checkpoints and the list of methods."""
