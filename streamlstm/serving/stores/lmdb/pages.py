"""Counts the pages of an LMDB environment."""

from __future__ import annotations

from typing import NamedTuple

import lmdb


class PageCounts(NamedTuple):
    """Pages of a data file.

    Attributes
    ----------
    total : int
        In the file.
    used : int
        By the last commit; the others are free, but for a few that list them.
    size : int
        Bytes of a page.
    """

    total: int
    used: int
    size: int

    @classmethod
    def of(cls, env: lmdb.Environment) -> PageCounts:
        """Count the pages of an environment."""
        tree = env.stat()
        used = tree["branch_pages"] + tree["leaf_pages"] + tree["overflow_pages"]
        return cls(env.info()["last_pgno"] + 1, 2 + used, tree["psize"])

    @property
    def free_bytes(self) -> int:
        """Bytes of the free pages."""
        return (self.total - self.used) * self.size
