"""Export: from a trained network to the ONNX files engines read."""
