"""Measurements: what a model restores, and whether engines agree."""

# The methods that samples, detection and summaries show, and their bits.
SHOWN = {"fp32": "FP32", "ptq": "W8A8", "qat": "W8A8", "qdr": "W8A8"}
