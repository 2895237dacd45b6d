"""Networks of Keras 2 and 3, read without Keras."""
