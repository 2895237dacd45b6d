"""Messages of every kind, and the comparison of what the compiled loop and Service make of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgpack
from hypothesis import strategies as st

from streamlstm import wire
from streamlstm.serving.native import layout
from streamlstm.serving.service import Service

from .message_strategies import BAD_VALUES, VALUES, good_step, good_steps, mutated
from .test_wire_fuzz import anything
from .worker_harness import Harness

QUESTIONS: list[wire.Request] = [
    wire.Reset("a"),
    wire.Export(7),
    wire.Ping(b"x"),
    wire.Barrier(5, 3),
    wire.List(None, None, 2),
    wire.Last(["a", 7]),
    wire.Forget("a"),
    wire.Claim(["a", 7, "pump-7"], None),
    wire.Claim(["a", 7], 1),
    wire.Claim([0, "a", 255], 0),
    wire.Reload(True),  # refused: there is no file
]

ANY_VALUES = VALUES + BAD_VALUES
GOOD = good_step() | good_steps()
FRAMES = st.one_of(
    GOOD,
    good_step(values=ANY_VALUES) | good_steps(values=ANY_VALUES),
    good_step(inputs=3) | good_steps(inputs=1),
    mutated(GOOD),
    st.lists(anything, max_size=5).map(lambda m: msgpack.packb(m, unicode_errors="surrogatepass")),
    st.binary(max_size=60),
    st.sampled_from([wire.encode(m) for m in QUESTIONS]),
)


def agree(
    harness: Harness,
    service: Service,
    frames: Sequence[bytes],
    fed: bool = False,
    producers: Sequence[int] = (),
) -> None:
    """Compare what both make of the same messages: answers, publications, state."""
    answers = []
    senders = producers or [0] * len(frames)
    for frame, producer in zip(frames, senders, strict=True):
        answers += service.handle(
            [frame],
            pulled={0} if fed else (),
            sessions=[None if fed else harness.session],
            producers={0: producer} if producer else {},
        )
    if fed:
        harness.feed(frames)
    else:
        envelopes = [[wire.envelope_of(producer)] if producer else [] for producer in senders]
        asked = [[*envelope, frame] for envelope, frame in zip(envelopes, frames, strict=True)]
        expected = zip(envelopes, answers, strict=True)
        assert harness.ask(asked) == [[*envelope, answer.reply] for envelope, answer in expected]
    publications = [list(p) for answer in answers for p in answer.publications]
    assert harness.hear(len(publications)) == publications
    here, there = harness.service.engine, service.engine
    assert here.streams() == there.streams()
    assert here.steps == there.steps
    for stream in there.streams():
        assert here.export_stream(stream) == there.export_stream(stream)
    assert harness.service.counters.errors == service.counters.errors
    said = slice(layout.ALARMS, layout.NAIVE_ERROR + 1)
    assert harness.service.counters.cells[said].tolist() == service.counters.cells[said].tolist()
    harness.turn()  # which gives back what was handed over
    assert harness.service.counters[layout.QUEUED] == 0
    assert harness.service.counters[layout.QUEUED_BYTES] == 0
