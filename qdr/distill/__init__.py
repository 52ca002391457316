"""Distillation: where it taps, how it measures distance, how it is balanced against reconstruction."""
