"""Whatever comes, the compiled loop and :class:`Service` give the same answers and the same state.

What a message means is defined by Service; the compiled loop takes what it is sure of. So both get
the same bytes, good ones written in every way that msgpack has, bad ones and mutated ones.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamlstm import LSTM, Dense, Embedding, Engine, wire
from streamlstm.serving.native import layout
from streamlstm.serving.service import Service

from ..contract.models import random_model
from .both_loops import FRAMES, GOOD, QUESTIONS, agree
from .message_strategies import good_step
from .worker_harness import harness

MODEL = random_model([LSTM(2, 5), Dense(5, 3)], scaled=True)
# The number of the first row is refused, but the id of the second is no text: so it is no STEPS.
BAD_ID_BEHIND_A_GAP = b"\x94\x02\x92\xa1a\xa1\x80\x92\x02\x00\xc4\x10" + bytes(16)
CATEGORIES = random_model([Embedding(2, 4, 3), LSTM(4, 5), Dense(5, 2)])


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAMES, min_size=1, max_size=8), st.sampled_from([3, 100]))
@example([BAD_ID_BEHIND_A_GAP], 100)
def test_any_messages(frames: list[bytes], capacity: int) -> None:
    with harness(Engine(MODEL, capacity, threads=1)) as both:
        agree(both, Service(Engine(MODEL, capacity, threads=1)), frames)


@settings(max_examples=150, deadline=None)
@given(st.lists(FRAMES, min_size=1, max_size=8), st.sampled_from([3, 100]))
def test_any_messages_in_one_batch_of_the_python_loop(frames: list[bytes], capacity: int) -> None:
    with harness(Engine(MODEL, capacity, threads=1), loop="python") as both:
        agree(both, Service(Engine(MODEL, capacity, threads=1)), frames)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), min_size=1, max_size=12))
def test_repeated_observations_have_their_prediction_in_both_loops(
    steps: list[tuple[str, int]],
) -> None:
    """Also where the next one of the stream arrives with them: in one batch."""
    numbers: dict[str, int] = {}
    frames = []
    for n, (stream, back) in enumerate(steps):
        number = max(numbers.get(stream, 0) + 1 - back, 1)
        numbers[stream] = max(numbers.get(stream, 0), number)
        frames.append(wire.encode(wire.Step(stream, number, wire.to_floats([n, 1.0]))))
    for loop in ("native", "python"):
        with harness(Engine(MODEL, threads=1), loop=loop) as both:
            agree(both, Service(Engine(MODEL, threads=1)), frames)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(GOOD, FRAMES, st.sampled_from([wire.encode(m) for m in QUESTIONS])),
            st.sampled_from([0, 1, 1, 2**64 - 1]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_any_messages_of_several_producers(sent: list[tuple[bytes, int]]) -> None:
    frames, producers = zip(*sent, strict=True)
    with harness(Engine(MODEL, 100, threads=1)) as both:
        agree(both, Service(Engine(MODEL, 100, threads=1)), frames, producers=producers)


@settings(max_examples=100, deadline=None)
@given(st.lists(FRAMES, min_size=1, max_size=6))
def test_any_messages_at_the_pull_socket(frames: list[bytes]) -> None:
    with harness(Engine(MODEL, 3, threads=1)) as both:
        agree(both, Service(Engine(MODEL, 3, threads=1)), frames, fed=True)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(good_step(values=[0.0, 1.0, 3.0, 4.0, 0.5, -1.0]), min_size=1, max_size=6),
)
def test_categories(frames: list[bytes]) -> None:
    with harness(Engine(CATEGORIES, threads=1)) as both:
        agree(both, Service(Engine(CATEGORIES, threads=1)), frames)


@settings(max_examples=100, deadline=None)
@given(st.lists(GOOD, min_size=1, max_size=8))
def test_good_messages_stay_in_the_loop(frames: list[bytes]) -> None:
    """The compiled loop takes what Service accepts: a test of it alone would not notice."""
    service = Service(Engine(MODEL, threads=1))
    answers = [service.handle([frame])[0] for frame in frames]
    with harness(Engine(MODEL, threads=1)) as both:
        assert both.ask(frames) == [[answer.reply] for answer in answers]
        refused = sum(answer.error is not None for answer in answers)
        assert both.service.counters[layout.HANDED_OVER] == refused


def test_blocks_of_many_rounds() -> None:
    """Streams that come again and again in one block: each in its order, whatever the rounds."""
    random = np.random.default_rng(5)
    service = Service(Engine(MODEL, threads=1))
    with harness(Engine(MODEL, threads=1)) as both:
        for _ in range(5):
            frames = []
            for _ in range(300):
                stream = int(random.integers(5))
                x = wire.to_floats(random.standard_normal(2))
                frames.append(wire.encode(wire.Step(stream, 0, x)))
            agree(both, service, frames)
        one = [wire.encode(wire.Step("same", n + 1, b"\0" * 8)) for n in range(700)]
        agree(both, service, one)


def test_a_large_steps_that_fails_at_its_end_changes_nothing() -> None:
    service = Service(Engine(MODEL, threads=1))
    with harness(Engine(MODEL, threads=1)) as both:
        agree(both, service, [wire.encode(wire.Step("old", 1, b"\0" * 8))])
        rows = wire.MAX_STREAMS
        streams: list[wire.StreamId] = [f"new-{n // 2}" for n in range(rows - 1)]
        seqs = [1 + n % 2 for n in range(rows - 1)]
        X = b"\0" * 8 * rows
        agree(both, service, [wire.encode(wire.Steps([*streams, "old"], [*seqs, 3], X))])
        assert both.service.engine.streams() == ["old"]
        agree(both, service, [wire.encode(wire.Steps([*streams, "old"], [*seqs, 2], X))])
        many: list[wire.StreamId] = ["old"] * rows
        agree(both, service, [wire.encode(wire.Steps(many, list(range(3, rows + 3)), X))])
        agree(both, service, [wire.encode(wire.Steps(many, list(range(3, rows + 3)), X))])


@pytest.mark.parametrize("length", [1, 8, 9, 31, 32, 255])
def test_ids_of_every_length(length: int) -> None:
    service = Service(Engine(MODEL, threads=1))
    with harness(Engine(MODEL, threads=1)) as both:
        frames = [wire.encode(wire.Step(c * length, 1, b"\0" * 8)) for c in "ab"]
        agree(both, service, frames)


def test_long_and_deep_things() -> None:
    head = b"\x94\x01\xa1a\x00"
    frames = [
        b"",
        b"\x94",
        b"\x91" * 2000,
        b"\xdd\xff\xff\xff\xff",
        b"\x94\x02\xdd\xff\xff\xff\xff",
        b"\x94\x01\xdb\xff\xff\xff\xffa",
        head + b"\xc6\xff\xff\xff\xff",
        head + b"\xdc\xff\xff",
        head + b"\xc4\x08" + b"\0" * 7,
        head + b"\xc4\x08" + b"\0" * 9,
        head + b"\xdd\x00\x00\x40\x01" + b"\0" * 0x4001,
        b"\x94\x01\xa1a\xd3" + b"\xff" * 8 + b"\xc4\x08" + b"\0" * 8,
        b"\x94\x01\xa3\xed\xa0\x80\x00\xc4\x08" + b"\0" * 8,
        b"\x94\x01\xa2\xc0\x80\x00\xc4\x08" + b"\0" * 8,
        b"\x94\x01\xa4\xf4\x90\x80\x80\x00\xc4\x08" + b"\0" * 8,
        b"\x94\x01\xa3\xe2\x82\xac\x00\xc4\x08" + b"\0" * 8,
        b"\x94\x01\xa2\x00a\x00\xc4\x08" + b"\0" * 8,
        b"\x94\x01\xa0\x00\xc4\x08" + b"\0" * 8,
        b"\x95\x01\xa1a\x00\xc4\x08" + b"\0" * 8 + b"\xcb" + struct.pack(">d", float("inf")),
        b"\x95\x01\xa1a\x00\xc4\x08" + b"\0" * 8 + b"\xc0",
        b"\x95\x01\xa1a\x00\xc4\x08" + b"\0" * 8 + b"\xcf" + b"\xff" * 8,
        b"\x94\x02\x90\xc0\xc4\x00",
        b"\x94\x02\x92\xa1a\xa1b\x91\x01\xc4\x10" + b"\0" * 16,
    ]
    service = Service(Engine(MODEL, threads=1))
    with harness(Engine(MODEL, threads=1)) as both:
        agree(both, service, frames)


def test_messages_around_the_limit_of_size() -> None:
    service = Service(Engine(MODEL, threads=1), 4096)
    with harness(Engine(MODEL, threads=1), limit=4096) as both:
        exact = b"\x94\x01\xa1a\x00\xc4\x08" + b"\0" * 8
        for size in (4096, 4097, 8192, 8193, 50_000):
            agree(both, service, [exact + b"\0" * (size - len(exact)), exact])
