"""Agents placed on the machines of a Ray cluster. Ray sees no observation."""
