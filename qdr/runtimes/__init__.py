"""Engines: one small protocol over PyTorch, OpenVINO, ONNX Runtime and TensorRT."""
