"""Images: where they come from, how they are degraded, how pairs are read."""
