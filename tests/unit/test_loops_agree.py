"""Whatever comes, the compiled loop and :class:`Service` give the same answers and the same state.

What a message means is defined by Service; the compiled loop takes what it is sure of. So both get
the same bytes, good ones written in every way that msgpack has, bad ones and mutated ones.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import msgpack
import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlstm import LSTM, Dense, Embedding, Engine, Online, wire
from streamlstm.network.online import result_places
from streamlstm.serving.native import layout
from streamlstm.serving.service import Service

from ..contract.models import STAGES, random_model, staged
from .message_strategies import BAD_VALUES, TIMES, VALUES, good_step, good_steps, mutated
from .test_wire_fuzz import anything
from .worker_harness import Harness, harness, received

MODEL = random_model([LSTM(2, 5), Dense(5, 3)], scaled=True)
CATEGORIES = random_model([Embedding(2, 4, 3), LSTM(4, 5), Dense(5, 2)])

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
    assert harness.heard() == [list(p) for answer in answers for p in answer.publications]
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


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAMES, min_size=1, max_size=8), st.sampled_from([3, 100]))
def test_any_messages(frames: list[bytes], capacity: int) -> None:
    with harness(Engine(MODEL, capacity, threads=1)) as both:
        agree(both, Service(Engine(MODEL, capacity, threads=1)), frames)


LABELS = [wire.Label(s, n, wire.to_floats([1.0, np.nan])) for s in ("a", 7) for n in (0, 1, 2, 9)]
STAGED = st.one_of(
    good_step(inputs=3),
    good_steps(inputs=3),
    good_step(inputs=3, values=ANY_VALUES),
    good_steps(inputs=3, values=ANY_VALUES),
    good_steps(inputs=3, times_of_rows=TIMES),
    good_steps(inputs=3, times_of_rows=[1.7e9, float("inf")]),
    st.sampled_from([wire.encode(m) for m in QUESTIONS + LABELS]),
)


@pytest.mark.parametrize("stage", ["intervals", "filled", "adapted", "calendar", "all"])
@settings(max_examples=30, deadline=None)
@given(frames=st.lists(STAGED, min_size=1, max_size=8))
def test_any_messages_to_a_model_with_an_online_stage(stage: str, frames: list[bytes]) -> None:
    model = staged(STAGES[stage])
    with harness(Engine(model, 100)) as both:
        agree(both, Service(Engine(model, 100)), frames)


@pytest.mark.parametrize("stage", ["none", "filled", "adapted", "all"])
@settings(max_examples=40, deadline=None)
@given(frames=st.lists(STAGED, min_size=1, max_size=8))
def test_any_messages_to_a_model_with_offsets(stage: str, frames: list[bytes]) -> None:
    model = staged(STAGES.get(stage, Online()))
    model = model.with_online(None) if stage == "none" else model
    model = model.with_offsets([1e9, -3e4, 0.0])
    with harness(Engine(model, 100)) as both:
        agree(both, Service(Engine(model, 100)), frames)


@pytest.mark.parametrize("loop", ["native", "python"])
def test_what_the_online_stage_says_is_counted_and_alarms_are_published_twice(loop: str) -> None:
    """Spikes, gaps and a forecast interval: of STEP and STEPS, in both loops and by the engine."""
    model = staged(
        Online(fill="last", max_gap=2, intervals=(0.5, 0.9), anomaly=True, alarm_rate=0.01), 1
    )
    random = np.random.default_rng(1)
    X = random.normal(size=(400, 3)).astype(np.float32)
    X[200::25, 0] += 40
    X[random.random(X.shape) < 0.05] = np.nan
    X[300:310, 1] = np.nan
    service, engine = Service(Engine(model, 100)), Engine(model, 100)
    results = [engine.result_many(["a", 7], np.stack([x, x[::-1]])) for x in X]
    said = np.concatenate(results)
    at = result_places(2, 2)
    alarms = int((said[:, at.alarm] > 0).sum())
    covered = said[:, at.covered : at.own_error]
    with harness(Engine(model, 100), loop=loop) as both:
        both.listener.subscribe(wire.ALARM_TOPIC)
        both.turn()
        service.counters.cells[layout.ALARM_TOPICS] = 1
        pager = both.connect(zmq.SUB, "xpub")
        pager.subscribe(wire.alarm_topic(7)[:-3])
        both.turn()
        for n, x in enumerate(X):
            rows = [wire.to_floats(row) for row in (x, x[::-1])]
            frames = [wire.encode(wire.Steps(["a", 7], None, b"".join(rows)))]
            if n % 2:
                frames = [
                    wire.encode(wire.Step(s, 0, row)) for s, row in zip(["a", 7], rows, strict=True)
                ]
            agree(both, service, frames)
        paged = received(pager)
        counters = both.service.info()["counters"]
    assert 0 < len(paged) < alarms
    assert all(topic == wire.alarm_topic(7) for topic, _ in paged)
    assert all(wire.decode_reply(frame).extra["alarm"] for _, frame in paged)
    assert counters["publications"] == 800 + alarms
    assert counters["alarms"] == alarms
    assert counters["filled"] == np.isnan(np.concatenate([X, X])).sum()
    assert counters["absent"] == np.isnan(said[:, 0]).sum() >= 2 * 8
    assert counters["judged"] == (covered == covered).sum() > 1000
    assert counters["covered"] == (covered == 1).sum()
    assert 0.8 < counters["covered"] / counters["judged"] < 1
    for name, errors in (
        ("own_error", said[:, at.own_error : at.naive_error]),
        ("naive_error", said[:, at.naive_error : at.size]),
    ):
        assert counters[name] == pytest.approx(np.nansum(errors, dtype=float), rel=1e-5)
        assert counters[name] > 100


@pytest.mark.parametrize("loop", ["native", "python"])
def test_alarms_for_which_nobody_listens_any_more_are_published_once(loop: str) -> None:
    model = staged(Online(anomaly=True, alarm_rate=0.01), 1)
    service = Service(Engine(model, 100))
    with harness(Engine(model, 100), loop=loop) as both:
        pager = both.connect(zmq.SUB, "xpub")
        for change, expected in ((pager.subscribe, 1), (pager.unsubscribe, 0)):
            change(wire.alarm_topic("a"))
            for _ in range(100):
                both.turn()
                if both.service.counters[layout.ALARM_TOPICS] == expected:
                    break
            assert both.service.counters[layout.ALARM_TOPICS] == expected
        for n in range(200):
            agree(both, service, [wire.encode(wire.Step("a", 0, wire.to_floats([n % 7] * 3)))])
        agree(both, service, [wire.encode(wire.Step("a", 0, wire.to_floats([900.0] * 3)))])
        assert both.service.counters[layout.ALARMS] > 0
        assert both.service.counters[layout.PUBLICATIONS] == 201


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


@settings(max_examples=30, deadline=None)
@given(st.lists(good_steps(inputs=3, times_of_rows=TIMES), min_size=1, max_size=8))
def test_steps_of_a_calendar_model_agree_at_the_pull_socket(frames: list[bytes]) -> None:
    model = staged(STAGES["calendar"])
    with harness(Engine(model, 100)) as both:
        agree(both, Service(Engine(model, 100)), frames, fed=True)


def test_a_steps_with_times_steps_a_calendar_model_in_the_loop() -> None:
    """Numbered, a stream twice, and after a gap: what is refused is refused as a STEP would be."""
    model = staged(STAGES["calendar"])
    service, ids = Service(Engine(model, 100)), ["a", 7, "a"]
    X = np.random.default_rng(2).standard_normal((3, 3)).astype(np.float32)
    with harness(Engine(model, 100)) as both:
        for n in range(1, 6):
            seqs = [2 * n - 1, n, 2 * n]
            times = [1.7e9 + 60 * n, 1e9, 1.7e9 + 60 * n + 5]
            agree(both, service, [wire.encode(wire.Steps(ids, seqs, X.tobytes(), times))])
        assert both.service.counters[layout.HANDED_OVER] == 0
        for seqs, moments, code in (
            ([11, 7, 12], [1.7e9, 1e9, 1.7e9], "gap"),
            ([10, 6, 11], [1.7e9, 1e9, 1.7e9], "duplicate"),
            ([11, 6, 12], [1.7e9, 1e9, None], "bad-value"),
            ([11, 6, 12], None, "bad-value"),
        ):
            agree(both, service, [wire.encode(wire.Steps(ids, seqs, X.tobytes(), moments))])
            assert service.counters.errors[code] > 0
        assert dict(service.counters.errors) == {"gap": 1, "duplicate": 1, "bad-value": 2}


@pytest.mark.parametrize("loop", ["native", "python"])
@pytest.mark.parametrize("offsets", [False, True])
def test_a_repeated_observation_has_the_map_of_its_prediction(loop: str, offsets: bool) -> None:
    """In a message of its own, in one batch with the first one, and as a row of a STEPS."""
    model = staged(Online(fill="last", intervals=(0.5, 0.9), anomaly=True), 1)
    model = model.with_offsets([1e9, -3e4, 0.0]) if offsets else model
    service, alone = Service(Engine(model, 100)), Service(Engine(model, 100))
    with harness(Engine(model, 100), loop=loop) as both:
        for n in range(1, 40):
            x = wire.Doubles.of([1e9 + math.sin(n), -3e4, math.cos(n) if n % 5 else math.nan])
            step = wire.encode(wire.Step("a", n, x))
            many = wire.encode(wire.Steps(["b", "a"], [n, n], wire.Doubles.of([*x.full] * 2)))
            agree(both, service, [step, step, many])
            expected = wire.decode_reply(alone.handle([step])[0].reply)
            again = wire.decode_reply(both.ask([step])[0][0])
            assert isinstance(again, wire.Error)
            assert isinstance(expected, wire.Prediction)
            assert (again.code, again.y) == ("duplicate", expected.y)
            assert str(again.extra) == str(expected.extra)  # NaN is no NaN
            assert again.extra
            assert again.extra["filled"] == (n % 5 == 0)
            service.handle([step])  # refused there too


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
