"""Pictures from disk to tensors: decoded once, paired by name, checked for calibration."""
