"""Detection: labelled images, detectors in ONNX Runtime, and the small detector that the pipeline trains itself."""
