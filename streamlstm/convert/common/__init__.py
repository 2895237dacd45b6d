"""What converters share: layers folded into a chain, checks of weights, gate orders, refusals."""
