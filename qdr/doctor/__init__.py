"""What is slow, what is wrong and what is thin about an ONNX file, on this processor."""
