"""Restoration networks from the literature, one file each, written from their papers."""
