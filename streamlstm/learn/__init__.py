"""Trains and scores networks: windows, backpropagation through time, Adam, early stopping."""
