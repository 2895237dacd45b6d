"""The HTTP gateway: observations in, predictions out, for those who speak HTTP alone."""
