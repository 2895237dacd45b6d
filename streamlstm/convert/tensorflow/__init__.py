"""TensorFlow Lite files and frozen graphs of TensorFlow, read without TensorFlow."""
