"""Backends compile a network to what kernels run: plan, packed weights, precision, warm-up."""
