"""A service over a small engine and a store that is written when the test says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.serving.eviction import Eviction
from streamlstm.serving.service import Service
from streamlstm.serving.stores.checkpointer import Checkpointer

from ..contract.models import random_model
from .test_store import opened

MODEL = random_model([LSTM(2, 5), Dense(5, 3)])
ONES = wire.to_floats([1.0, 1.0])


@contextmanager
def small(
    tmp_path: Path, capacity: int, ttl: float | None = None, seconds: float = 60.0
) -> Iterator[tuple[Engine, Checkpointer, Eviction, Service]]:
    """A worker's inside with few places, over a store that is written when the test says so."""
    engine = Engine(MODEL, capacity, threads=1)
    with opened(engine, f"lmdb:{tmp_path / 'store'}", seconds) as checkpointer:
        eviction = Eviction(engine.idle_evictor(), checkpointer, when_full=True, ttl=ttl)
        yield (
            engine,
            checkpointer,
            eviction,
            Service(engine, checkpointer=checkpointer, eviction=eviction),
        )


def step(stream: wire.StreamId, seq: int = 0, x: bytes = ONES) -> bytes:
    return wire.encode(wire.Step(stream, seq, x))


def ask(service: Service, *messages: bytes) -> list[wire.Reply]:
    return [wire.decode_reply(answer.reply) for answer in service.handle(messages)]


def commit(checkpointer: Checkpointer) -> None:
    """Have all that has changed in the store."""
    checkpointer.commit_early()
    while not checkpointer.settled:
        checkpointer.wait(1.0)


def code_of(reply: wire.Reply) -> str:
    assert isinstance(reply, wire.Error), reply
    return reply.code


@contextmanager
def writing(checkpointer: Checkpointer) -> Iterator[None]:
    """Let no commit of LMDB end within ``with``."""
    hold = checkpointer._store._env.begin(write=True)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        hold.abort()
