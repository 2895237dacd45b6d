"""Conversion from and to ONNX."""
