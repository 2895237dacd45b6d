"""What a network is: layers, activations, the model and its file. Knows nothing of how it runs."""
