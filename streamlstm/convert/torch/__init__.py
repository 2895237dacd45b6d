"""Conversion of PyTorch modules and state dicts."""
