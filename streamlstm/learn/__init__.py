"""Training: windows of data, backpropagation through time, Adam, early stopping."""
