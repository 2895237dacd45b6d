"""The live page: what a worker or a fleet says, for people to look at in a browser."""
