"""Many machines: a profile's models as cells of a graph, estimated, scheduled on paper, and trained by Dask workers."""
