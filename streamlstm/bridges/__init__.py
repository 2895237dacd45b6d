"""Bridges: a broker's messages to workers, and what they predict to the broker again."""
