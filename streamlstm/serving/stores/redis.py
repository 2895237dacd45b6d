"""Stores streams in Redis, which other machines reach too: one script a commit.

A namespace of keys belongs to one worker at a time, or to one fleet (redis_member.py). Each commit
checks, in the script that writes it, that it does so still, and that nothing of what was committed
before has gone.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress

from ...errors import StoreError
from .header import Header
from .owner import Owner
from .redis_namespace import State
from .redis_ownership import await_owner, in_use, next_epoch
from .redis_streams import RedisStreams
from .store import FencedError, Loss, Pairs


class RedisStore(RedisStreams):
    """A store in Redis that one worker owns.

    Parameters
    ----------
    url : str
        As the package redis takes it: ``redis://HOST:PORT/NUMBER``, ``rediss://``, ``unix://``. All
        keys begin with NAME of ``?prefix=NAME``, so that one database may hold several stores.
    header : Header
        What the store must be of.
    other : {"refuse", "keep", "anew"}
        What to do with streams of another model.
    take_over : bool
        Whether to take it from the worker that owns it.

    Attributes
    ----------
    loss, intact, header
        As in :class:`.store.Store`.

    Raises
    ------
    StoreError
        If it cannot be reached, is owned by another worker, or holds streams of another model.
    """

    intact = True  # what it has lost is found by a commit or a check

    def __init__(
        self, url: str, header: Header, other: str = "refuse", take_over: bool = False
    ) -> None:
        super().__init__(url)
        self.loss: Loss | None = None
        self.header = header
        self._writing = threading.Lock()
        with self.opening():
            self._take(header, other, take_over)
            self.complete_order(self._renew)

    # --- ownership ---

    def _take(self, header: Header, other: str, take_over: bool) -> None:
        """Become the owner, and write the header."""
        while True:
            found = self.space.look()
            if not take_over:
                found = await_owner(self.space, self.place, found)
            if found.header or found.fields:
                self.header = header.accept(found.header, self.place, other, found.is_empty)
            state = State(secrets.token_hex(8))
            if found.state:
                state = State.decode(found.state, self.place)
            epoch = next_epoch(found, state, self.place)
            self._me, self._state = Owner.of_this_process(epoch), state._replace(epoch=epoch)
            seen = (found.state, found.owner)
            if self.space.write(seen, self._state, self._me, self.header) is None:
                return

    def _examine(self, state: bytes, owner: bytes) -> None:
        """Find out why state and owner are not as expected, and whether to write nonetheless.

        Raises
        ------
        FencedError
            If another worker has become the owner.
        StoreError
            If it is the store of something else now.
        """
        holder = Owner.decode(owner, self.place) if owner else self._me
        found = State.decode(state, self.place) if state else None
        if holder.token != self._me.token and holder.epoch >= self._me.epoch:
            raise FencedError(f"{self.place}: {holder} has taken over.")
        if found is not None and found.epoch > self._me.epoch:
            raise FencedError(f"{self.place}: another worker has taken over, and ended since.")
        if found is None or found.generation != self._state.generation:
            self.loss = self._loss_to_another(holder, found)
        elif found < self._state:
            reason = f"is back at commit {found.commits}, after {self._state.commits}"
            self.loss = Loss(f"{self.place}: {reason}", self.space.look().fields - 1)
        else:
            self._state = found  # only the lease ran out, or an answer of Redis was lost

    def _loss_to_another(self, holder: Owner, found: State | None) -> Loss:
        """Return the loss where an empty store, or another one, has taken the place of this one."""
        if found is not None and holder.token != self._me.token:
            raise StoreError(in_use(self.place, holder))
        there = self.space.look()
        if there.header or there.fields:
            self.header.accept(there.header, self.place)
        reason = "has lost what was in it" if found is None else "is another store than before"
        return Loss(f"{self.place}: {reason}", there.fields - bool(there.state))

    # --- writing ---

    def commit(self, deleted: Sequence[bytes], pairs: Pairs) -> None:
        """Delete streams, then write records; all of it or nothing."""
        self._write(1, deleted, pairs)

    def check(self) -> None:
        """Renew the lease; find out whether the store is there, and still this worker's."""
        self._write(0)

    def set_header(self, header: Header) -> None:
        """Replace the header; from any thread."""
        self._write(0, header=header)

    def _write(
        self,
        commits: int,
        deleted: Sequence[bytes] = (),
        pairs: Pairs = (),
        header: Header | None = None,
    ) -> None:
        """Write all of it as so many commits."""
        with self._writing, self.failing("written"):
            header = header or self.header
            seen: tuple[bytes, bytes] | None = (self._state.encode(), self._me.encode())
            while seen is not None:
                expected, after = seen, self._state.later(commits)
                seen = self.space.write(expected, after, self._me, header, deleted, pairs)
                if seen is not None:
                    self._examine(*seen)
            self._state, self.header = after, header
            self.complete_order(self._renew)

    def _renew(self) -> None:
        """Renew the lease while something takes long."""
        seen = self._state.encode(), self._me.encode()
        self.space.write(seen, self._state, self._me, self.header)

    def close(self) -> None:
        """End the ownership, and close the connections."""
        with suppress(self.error):
            self.space.release(self._me)
        self.space.close()
