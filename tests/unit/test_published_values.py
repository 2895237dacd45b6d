"""Predictions with what came, for those who subscribe to them: of both loops, of all models."""

from __future__ import annotations

import numpy as np
import pytest
import zmq

from streamlstm import Engine, Model, Online, wire
from streamlstm.client.base import BaseSubscriber
from streamlstm.client.observing import Published
from streamlstm.client.subscriber import Subscriber
from streamlstm.errors import BadValueError
from streamlstm.serving.native import layout

from ..contract.models import STAGES, staged
from .test_differences import network
from .worker_harness import harness, received

IDS = ["a", 7, "a"]  # a stream twice is stepped in two rounds
MODELS = {
    "none": staged(Online()).with_online(None),
    "filled": staged(STAGES["filled"]),
    "offsets": staged(STAGES["all"]).with_offsets([1e9, -3e4, 0.0]),
    "counters": network(Online(fill="last", intervals=(0.9,))),
}


def vector(model: Model, x: np.ndarray) -> bytes:
    return wire.to_vector(x if model.input_offsets is not None else x.astype(np.float32))


@pytest.mark.parametrize("loop", ["native", "python"])
@pytest.mark.parametrize("of", MODELS)
def test_a_subscriber_to_values_gets_what_came(of: str, loop: str) -> None:
    model, random = MODELS[of], np.random.default_rng(1)
    X = random.normal(size=(20, 3, model.input_size)) * 3
    if of == "counters":
        X[..., ::2] = 1e9 + np.arange(20)[:, None, None] * 1000.0 + np.round(X[..., ::2])
        X[..., 1] = np.round(X[..., 1])  # which is none
    elif of == "offsets":  # near them, float32 has all digits
        X = model.input_offsets + np.round(X)
    if model.online is not None:
        X[5:8, 0, 0] = np.nan
    with harness(Engine(model, 100), loop=loop) as worker:
        listener = worker.connect(zmq.SUB, "xpub")
        listener.subscribe(wire.VALUE_TOPIC)
        for _ in range(100):
            worker.turn()
            if worker.service.counters[layout.VALUE_TOPICS]:
                break
        for n, rows in enumerate(X):
            times = [1.7e9 + n, None, 1.7e9 + n + 0.5] if of != "offsets" else [1.7e9 + n] * 3
            many = rows[:2] if n % 3 == 1 else rows  # of streams that come once, too
            steps = wire.Steps(IDS[: len(many)], None, vector(model, many), times[: len(many)])
            messages = [wire.encode(steps)]
            if n % 3 == 2:
                messages = [
                    wire.encode(wire.Step(s, 0, vector(model, x), t))
                    for s, x, t in zip(IDS, rows, times, strict=True)
                ]
            answers = [wire.decode_reply(frames[-1]) for frames in worker.ask(messages)]
            heard, plain = received(listener), worker.hear(2 * len(many))
            seen = [wire.decode_reply(frame) for _, frame in heard]
            assert [topic for topic, _ in heard] == [wire.value_topic(s) for s in IDS[: len(many)]]
            came = np.stack([Published(*each).came for each in seen])
            expected = many if model.input_offsets is not None else many.astype(np.float32)
            np.testing.assert_array_equal(came, expected)
            assert came.dtype == expected.dtype
            assert [each.time for each in seen] == times[: len(many)]
            said = [wire.decode_reply(frame) for topic, frame in plain if topic[1:6] != b"value"]
            assert [repr(each._replace(x=None, time=None)) for each in seen] == list(
                map(repr, said)
            )
            if n % 3 == 2:
                assert list(map(repr, answers)) == list(map(repr, said))
        worker.ask([wire.encode(wire.Reset("a"))])
        done = wire.encode(wire.Done(wire.Kind.RESET, "a", None))
        assert received(listener) == [[wire.value_topic("a"), done]]
        assert worker.hear(2) == [[wire.topic("a"), done], [wire.value_topic("a"), done]]
        listener.unsubscribe(wire.VALUE_TOPIC)
        for _ in range(100):
            worker.turn()
            if not worker.service.counters[layout.VALUE_TOPICS]:
                break
        worker.hear(1)
        worker.ask(messages)
        assert len(worker.hear(3)) == len(many)


def test_who_subscribes_to_what_gets_that_alone() -> None:
    prediction = wire.encode(wire.Prediction("ab", 1, wire.to_floats([1.0])))
    with_values = wire.with_values(prediction, wire.to_floats([2.0]), 5.0)
    done = wire.encode(wire.Done(wire.Kind.RESET, "ab"))
    messages = [
        [wire.topic("ab"), prediction],
        [wire.alarm_topic("ab"), prediction],
        [wire.value_topic("ab"), with_values],
        [wire.topic("ab"), done],
        [wire.value_topic("ab"), done],
    ]

    def kept(**options: bool) -> list[int]:
        with Subscriber("inproc://nobody", context=zmq.Context.instance(), **options) as subscriber:
            decode = BaseSubscriber._decode
            return [n for n, frames in enumerate(messages) if decode(subscriber, frames)]

    assert kept() == [0, 3]
    assert kept(alarms=True) == [1]
    assert kept(values=True) == [2, 4]
    with pytest.raises(BadValueError, match="only one of alarms and values"):
        Subscriber(alarms=True, values=True)
