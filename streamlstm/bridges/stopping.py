"""Stopping: the flag that ends a bridge."""

from __future__ import annotations


class Stopping:
    """What a handler of a signal sets: without a lock, which what it interrupts could hold."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """End the bridge soon."""
        self._is_set = True

    def is_set(self) -> bool:
        """Tell whether the bridge is to end."""
        return self._is_set
