"""Quantization-aware Distilled Restoration: benchmark suite and reference implementation."""
