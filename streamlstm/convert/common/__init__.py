"""Parts that all converters share: the model builder, checks of weights, files and errors."""
