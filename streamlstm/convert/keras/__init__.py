"""Conversion of Keras files."""
