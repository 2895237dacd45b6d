"""Both loops give the same answers with an online stage, and count and publish the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlstm import Engine, Online, wire
from streamlstm.network.result_places import result_places
from streamlstm.serving.native import layout
from streamlstm.serving.service import Service

from ..contract.models import STAGES, staged
from .both_loops import ANY_VALUES, QUESTIONS, agree
from .message_strategies import TIMES, good_step, good_steps
from .worker_harness import harness, received

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
        ("naive_error", said[:, at.naive_error : at.level]),
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
