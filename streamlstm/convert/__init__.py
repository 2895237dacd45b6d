"""Conversion of networks of other frameworks, and export to ONNX."""
