"""Opens the store that ``--store`` names."""

from __future__ import annotations

from typing import NamedTuple

from ...engine.engine import Engine
from ...errors import StoreError
from .checkpointer import Checkpointer
from .epochs import Epochs
from .header import Header, header_of
from .store import Store


class Membership(NamedTuple):
    """That a worker is one of a fleet whose workers share a store.

    Attributes
    ----------
    name : str
        The worker's.
    epoch : int
        The fleet's, as its supervisor has it from the store.
    """

    name: str
    epoch: int


def open_checkpointer(
    engine: Engine,
    where: str,
    seconds: float,
    other: str = "refuse",
    take_over: bool = False,
    member: Membership | None = None,
) -> Checkpointer | None:
    """Return a checkpointer of an engine to what ``--store`` names; None for ``memory``.

    Parameters
    ----------
    engine : Engine
    seconds : float
        Between two commits.
    where, other, take_over, member
        As for :func:`open_store`.

    Raises
    ------
    StoreError
        As for :func:`open_store`.
    """
    if where == "memory":
        return None
    tracker = engine.dirty_tracker()
    header = header_of(engine.model, tracker.record_size)
    store = open_store(where, header, other, take_over, member)
    return Checkpointer(tracker, store, seconds, Epochs(store.header, engine.model))


def open_store(
    where: str,
    header: Header,
    other: str = "refuse",
    take_over: bool = False,
    member: Membership | None = None,
) -> Store:
    """Open the store that ``--store`` names, or create it.

    Parameters
    ----------
    where : str
        ``lmdb:PATH``, or ``redis://HOST:PORT/NUMBER?prefix=NAME`` (also ``rediss://`` and
        ``unix://``).
    header : Header
        What the store must be of.
    other : {"refuse", "keep", "anew"}
        What to do with streams of another model: refuse them, continue them if its layout is the
        same, or restart them.
    take_over : bool
        Whether to take a store in Redis from the worker that owns it. A folder of LMDB is locked
        by the system for as long as its worker lives.
    member : Membership, optional
        Of a fleet that owns the store in Redis; then this worker shares it.

    Raises
    ------
    StoreError
        If there is no such kind of store, it cannot be opened, or its header is not accepted.
    """
    kind, _, path = where.partition(":")
    if kind == "lmdb" and path:
        from .lmdb import LmdbStore
        from .lmdb.folder import folder_of

        return LmdbStore(folder_of(where), header, other)
    if kind in ("redis", "rediss", "unix"):
        if member is not None:
            from .redis_member import RedisMemberStore

            return RedisMemberStore(where, header, member.name, member.epoch, other)
        from .redis import RedisStore

        return RedisStore(where, header, other, take_over)
    raise StoreError(f"--store: expected lmdb:PATH, redis://HOST:PORT or memory, got {where!r}.")
