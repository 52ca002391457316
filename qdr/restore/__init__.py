"""Restoring what a user has: an image, a folder or a video of any size, with packaged weights or any exported model."""
