"""Networks as data: layers, activations, models, model files, compatibility. Runs nothing."""
