"""Quantization: from real numbers to the integer grid and back, learned and exported."""
