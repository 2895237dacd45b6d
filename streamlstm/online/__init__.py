"""What stands before and behind the network: the specification of each part, in NumPy."""
