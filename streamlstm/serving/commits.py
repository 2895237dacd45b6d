"""The commits of a store, as replies to barriers wait for them."""

from __future__ import annotations

from typing import Protocol

from .stores.checkpointer import Checkpointer


class Commits(Protocol):
    """Commits to a store, numbered from 1 on."""

    @property
    def committed(self) -> int:
        """The number of the last commit that is in the store."""

    def ticket(self) -> int:
        """Return the number of the commit that will hold everything applied so far."""


class HeldCommits:
    """Commits that count only up to one that is held back.

    Parameters
    ----------
    commits : Commits

    Attributes
    ----------
    held : int or None
        This one and later ones do not count yet; None if all do.
    """

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self.held: int | None = None

    @property
    def committed(self) -> int:
        """The number of the last commit that counts."""
        committed = self._commits.committed
        return committed if self.held is None else min(committed, self.held - 1)

    def ticket(self) -> int:
        """Return the number of the commit that will hold everything applied so far."""
        return self._commits.ticket()


class SharedCommits:
    """Commits to a store that the workers of a fleet share.

    What a partition had when it left is in the store when its new owner has committed it, and no
    commit of this worker counts before.
    """

    def __init__(self, checkpointer: Checkpointer) -> None:
        assert checkpointer.shared is not None
        self._checkpointer, self._shared = checkpointer, checkpointer.shared

    @property
    def committed(self) -> int:
        """The number of the last commit that counts."""
        committed = self._checkpointer.committed  # first: doubts come before the commit is noted
        return self._shared.safe(committed)

    def ticket(self) -> int:
        """Return the number of the commit that will hold everything applied so far."""
        return self._checkpointer.ticket()
