"""Evicted streams follow a reload like those in memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlstm import Engine, wire
from streamlstm.serving.access.client_accounts import Account
from streamlstm.serving.access.limits import Limits
from streamlstm.serving.eviction import Eviction
from streamlstm.serving.service import Service
from streamlstm.serving.sessions import Session
from streamlstm.serving.stores.checkpointer import Checkpointer

from .test_reload_store import MODELS, opened, reload

STREAMS: list[wire.StreamId] = [*range(6), *(f"text {n}" for n in range(6))]


def observe(service: Service, truth: Engine, stream: wire.StreamId, session: Session) -> None:
    """Apply the next observation of a stream at both, and compare what they answer."""
    seq = truth.last_seqs([stream])[0] + 1
    x = [0.1 * seq, 1.0]
    frame = wire.encode(wire.Step(stream, seq, wire.to_floats(x)))
    (answer,) = service.handle([frame], sessions=[session])
    expected = truth.step(stream, x, seq=seq)
    assert wire.decode_reply(answer.reply) == wire.Prediction(stream, seq, wire.to_floats(expected))


@settings(max_examples=25, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(MODELS) - 1), st.booleans()), min_size=1, max_size=4
    ),
    seed=st.integers(0, 2**32),
)
def test_many_streams_few_places_and_other_models(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bool]], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    random = np.random.default_rng(seed)
    truth = Engine(MODELS[0], threads=1)
    engine = Engine(MODELS[0], 4, threads=1)
    session = Session(account=Account(1, b"A", authenticated=False))
    with opened(engine, f"lmdb:{folder / 'store'}") as checkpointer:
        eviction = Eviction(engine.idle_evictor(), checkpointer, when_full=True)
        service = Service(
            engine,
            checkpointer=checkpointer,
            eviction=eviction,
            limits=Limits(streams=len(STREAMS)),
        )
        current = 0
        for number, anew in changes:
            for n in random.integers(0, len(STREAMS), 10):
                observe(service, truth, STREAMS[n], session)
            turn(checkpointer, eviction)
            anew = anew or number > 1 or current > 1
            reload(engine, checkpointer, MODELS[number], folder, anew)
            truth.reload(MODELS[number], anew)
            current = number
            where = [wire.encode(wire.Last(STREAMS)), wire.encode(wire.List(None, None, 100))]
            last, listed = (wire.decode_reply(answer.reply) for answer in service.handle(where))
            assert last == wire.Done(wire.Kind.LAST, None, truth.last_seqs(STREAMS))
            seen = [[stream, seq] for stream, seq in truth.list_streams()]
            assert listed == wire.Done(wire.Kind.LIST, None, seen)
        for stream in truth.streams():
            (answer,) = service.handle([wire.encode(wire.Export(stream))])
            blob = truth.export_stream(stream)
            assert wire.decode_reply(answer.reply) == wire.Done(wire.Kind.EXPORT, stream, blob)
        assert len(truth) <= 4 or eviction.evicted > 0


def turn(checkpointer: Checkpointer, eviction: Eviction) -> None:
    """Let both do what they do between turns of a loop."""
    for _ in range(10):
        eviction.turn(False)
        checkpointer.turn()
