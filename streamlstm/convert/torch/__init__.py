"""Networks of PyTorch: modules and state dicts."""
