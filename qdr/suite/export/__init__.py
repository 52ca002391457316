"""Exported files of the runs of a profile."""
