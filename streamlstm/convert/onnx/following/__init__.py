"""Graphs over windows, followed node by node on labels."""
