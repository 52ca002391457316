"""Measurements: what a model restores, and whether engines agree."""
