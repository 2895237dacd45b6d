"""Networks in ONNX: reading them, and writing a model as a graph."""
