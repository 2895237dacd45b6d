"""The commits of a store, as replies to barriers wait for them."""

from __future__ import annotations

from typing import Protocol


class Commits(Protocol):
    """Commits to a store, numbered from 1 on."""

    @property
    def committed(self) -> int:
        """The number of the last commit that is in the store."""

    def ticket(self) -> int:
        """Return the number of the commit that will hold everything applied so far."""
