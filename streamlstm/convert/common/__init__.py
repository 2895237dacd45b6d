"""What all converters share: building a model, checks of weights and errors, reading of files."""
