"""A network made ready to run: plan, packed weights, precision, warm-up; CPU, CUDA, reference."""
