"""Clients of a fleet: each request goes to the worker that has its streams."""
