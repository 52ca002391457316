"""Somebody's own network in INT8: read it, calibrate, distil, choose what stays in floating point, judge by the engine."""
