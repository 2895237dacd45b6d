"""The service: batches, order, and bad messages, which change nothing."""

import logging
import struct
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.errors import ProtocolError
from streamlstm.serving.response import Response
from streamlstm.serving.service import Service

from ..contract.models import random_model

MODEL = random_model([LSTM(2, 5), Dense(5, 3)], scaled=True)


def engine(capacity: int = 100) -> Engine:
    return Engine(
        MODEL, capacity, threads=1
    )  # whose results do not depend on the block, bit for bit


def step(
    stream: wire.StreamId, x: Iterable[float], seq: int = 0, time: float | None = None
) -> bytes:
    return wire.encode(wire.Step(stream, seq, wire.to_floats(list(x)), time))


def steps(streams: list[wire.StreamId], X: object, seqs: list[int] | None = None) -> bytes:
    return wire.encode(wire.Steps(streams, seqs, wire.to_floats(X)))


def replies(answers: Iterable[Response]) -> list[wire.Reply]:
    return [wire.decode_reply(answer.reply) for answer in answers]


def codes(answers: Iterable[Response]) -> list[str | None]:
    return [answer.error.code if answer.error else None for answer in answers]


def test_a_batch_gives_what_the_engine_gives() -> None:
    undisturbed = engine()
    service = Service(engine())
    frames = [
        step("a", [1, 2]),
        step(7, [3, 4], seq=1),
        step("a", [5, 6], time=9.0),
        steps(["a", "b"], [[7, 8], [9, 10]]),
        step(7, [11, 12], seq=2),
    ]
    expected = [
        undisturbed.step("a", [1, 2]),
        undisturbed.step(7, [3, 4]),
        undisturbed.step("a", [5, 6]),
        np.stack([undisturbed.step("a", [7, 8]), undisturbed.step("b", [9, 10])]),
        undisturbed.step(7, [11, 12]),
    ]
    got = replies(service.handle(frames))
    assert [type(reply) for reply in got] == [wire.Prediction] * 3 + [wire.Predictions] + [
        wire.Prediction
    ]
    for reply, y in zip(got, expected, strict=True):
        np.testing.assert_array_equal(reply.values, y)
    assert (got[1].stream, got[1].seq) == (7, 1)
    assert (got[3].streams, got[3].seqs) == (["a", "b"], None)


def test_each_bad_message_is_answered_and_changes_nothing() -> None:
    undisturbed, disturbed = engine(capacity=3), engine(capacity=3)
    service = Service(disturbed)
    for stream in ("a", "b", 3):
        undisturbed.step(stream, [1, 1], seq=1)
        disturbed.step(stream, [1, 1], seq=1)
    bad = [
        (b"\xc1", "bad-frame", None, None),
        (step("a", [1, 2, 3]), "bad-shape", "a", 0),
        (step("a", []), "bad-shape", "a", 0),
        (step("a", [1, float("nan")], seq=2), "bad-value", "a", 2),
        (step(3, [float("inf"), 1]), "bad-value", 3, 0),
        (step("a", [1, 1], seq=1), "duplicate", "a", 1),
        (step("a", [1, 1], seq=3), "gap", "a", 3),
        (step("new", [1, 1]), "capacity", "new", 0),
        (steps(["a", "b"], [[1, 1], [1, float("nan")]]), "bad-value", "b", None),
        (steps(["a", "b"], [[1, 1], [1, 1]], [2, 3]), "gap", "b", 3),
        (steps(["a", "a"], [[1, 1], [1, 1]], [2, 2]), "duplicate", "a", 2),
        (steps(["a", "new"], [[1, 1], [1, 1]]), "capacity", "new", None),
        (steps(["a"], [[1, 1, 1]]), "bad-shape", None, None),
        (wire.encode(wire.Reset("new")), "unknown-stream", "new", None),
        (wire.encode(wire.Export("new")), "unknown-stream", "new", None),
        (wire.encode(wire.Import("a", b"junk")), "bad-value", "a", None),
        (b"\x91\x63", "unknown-kind", None, None),
    ]
    good = step("a", [2, 2], seq=2)
    answers = service.handle([bad[0][0], *[frame for frame, *_ in bad], good])
    for answer, (_, code, stream, seq) in zip(answers[1:], bad, strict=False):
        assert answer.error is not None
        assert (answer.error.code, answer.error.stream, answer.error.seq) == (code, stream, seq)
        assert answer.error == wire.decode_reply(answer.reply)
        assert answer.publications == []
    np.testing.assert_array_equal(
        wire.decode_reply(answers[-1].reply).values, undisturbed.step("a", [2, 2], seq=2)
    )
    assert service.counters.errors.total() == len(bad) + 1
    for stream in ("a", "b", 3):
        assert disturbed.export_stream(stream) == undisturbed.export_stream(stream)
    assert disturbed.streams() == undisturbed.streams()


@pytest.mark.parametrize(
    ("streams", "seqs", "missing", "expected"),
    [
        (["good", "pump"], [1, 5], None, ("gap", "pump", 5)),
        (["old", "pump", 7], [3, 1, 1], None, ("duplicate", "pump", 1)),
        (["old", 7, "old", "old"], [3, 0, 4, 4], None, ("duplicate", "old", 4)),
        (["pump", 7, "pump", "old"], [2, 0, 0, 5], None, ("gap", "old", 5)),
        (["old", "a", "b", "a", "c"], None, None, ("capacity", "c", None)),
        (["old", "a", "b", "a", "c"], [3, 1, 1, 2, 9], None, ("gap", "c", 9)),
        (["old", "a", "b", "a", "c", "a"], [3, 1, 1, 2, 1, 1], None, ("capacity", "c", 1)),
        (["pump", 7, "old"], [9, 0, 3], 1, ("bad-value", 7, 0)),
        (["pump", 7, "old"], None, 2, ("bad-value", "old", None)),
    ],
)
def test_steps_that_cannot_be_applied_names_the_row_at_fault(
    streams: list[wire.StreamId],
    seqs: list[int] | None,
    missing: int | None,
    expected: tuple[str, wire.StreamId, int | None],
) -> None:
    service = Service(engine(capacity=4))
    service.handle([step("old", [1, 1], 1), step("old", [1, 1], 2), step("pump", [1, 1], 1)])
    X = np.ones((len(streams), 2))
    if missing is not None:
        X[missing, 1] = np.nan
    reply = replies(service.handle([steps(streams, X, seqs)]))[0]
    assert isinstance(reply, wire.Error)
    assert (reply.code, reply.stream, reply.seq) == expected
    assert repr(expected[1]) in reply.message
    assert len(service.engine) == 2


def test_a_bad_message_does_not_affect_its_neighbours() -> None:
    service = Service(engine())
    frames = [
        step("a", [1, 1], seq=1),
        step("a", [1, 1], seq=3),  # gap
        step("a", [1, 1], seq=2),
        steps(["a", "b"], [[1, 1], [1, 1]], [3, 2]),  # gap in b: a stays where it is
        step("a", [1, 1], seq=3),
        step("b", [1, 1], seq=1),
    ]
    assert codes(service.handle(frames)) == [None, "gap", None, "gap", None, None]


def test_control_messages_take_effect_where_they_stand() -> None:
    undisturbed = engine()
    service = Service(engine())
    first = undisturbed.step("a", [1, 2])
    state = undisturbed.export_stream("a")
    second = undisturbed.step("a", [1, 2])
    frames = [
        step("a", [1, 2]),
        wire.encode(wire.Export("a")),
        step("a", [1, 2]),
        wire.encode(wire.Reset("a")),
        step("a", [1, 2]),
        wire.encode(wire.Import("a", state)),
        step("a", [1, 2]),
        wire.encode(wire.Ping("still there?")),
    ]
    got = replies(service.handle(frames))
    for position, y in ((0, first), (2, second), (4, first), (6, second)):
        np.testing.assert_array_equal(got[position].values, y)
    assert got[1] == wire.Done(wire.Kind.EXPORT, "a", state)
    assert got[3] == wire.Done(wire.Kind.RESET, "a")
    assert got[5] == wire.Done(wire.Kind.IMPORT, "a")
    assert got[7] == wire.Done(wire.Kind.PING, None, "still there?")


def test_state_of_another_model_is_refused() -> None:
    other = Engine(random_model([LSTM(2, 5), Dense(5, 3)], seed=1), backend="reference")
    other.step("a", [1, 1])
    frame = wire.encode(wire.Import("a", other.export_stream("a")))
    assert codes(Service(engine()).handle([frame])) == ["model-mismatch"]


def test_publications_are_the_predictions() -> None:
    service = Service(engine())
    single, many, refused = service.handle(
        [step("a", [1, 2], seq=1), steps(["b", 7], [[1, 2], [3, 4]]), step("a", [1])]
    )
    assert single.publications == [(b"a", single.reply)]
    assert [publication.topic for publication in many.publications] == [b"b", wire.topic(7)]
    rows = [wire.decode_reply(publication.frame).values for publication in many.publications]
    np.testing.assert_array_equal(rows, wire.decode_reply(many.reply).values)
    assert refused.publications == []
    quiet = service.handle([step("a", [1, 2])], publish=False)
    assert quiet[0].publications == []


def test_the_pull_socket_takes_observations_only() -> None:
    service = Service(engine())
    frames = [step("a", [1, 1]), wire.encode(wire.Reset("a")), wire.encode(wire.Info())]
    assert codes(service.handle(frames, pulled={0, 1, 2})) == [None, "unknown-kind", "unknown-kind"]
    assert codes(service.handle(frames, pulled={0})) == [None, None, None]


def test_rows_of_pulled_messages_are_applied_one_by_one() -> None:
    undisturbed, disturbed = engine(capacity=3), engine(capacity=3)
    service = Service(disturbed)
    fed = steps(
        ["a", "b", "a", "a", "c", "d", "b"],
        [[1, 1], [1, float("nan")], [2, 2], [3, 3], [4, 4], [5, 5], [6, 6]],
        [1, 0, 3, 2, 0, 1, 1],
    )
    asked = steps(["a", "b"], [[7, 7], [8, 8]], [3, 9])
    answer, refused, last = service.handle([fed, asked, step("a", [9, 9], 3)], pulled={0, 2})
    good = [("a", [1, 1], 1), ("a", [3, 3], 2), ("c", [4, 4], 0), ("d", [5, 5], 1)]
    for publication, (stream, x, seq) in zip(answer.publications, good, strict=True):
        expected = wire.Prediction(
            stream, seq, wire.to_floats(undisturbed.step(stream, x, seq=seq))
        )
        assert publication == (wire.topic(stream), wire.encode(expected))
    assert answer.error is not None
    assert (answer.error.code, answer.error.stream) == ("bad-value", "b")  # the first of the three
    assert codes([refused, last]) == ["gap", None]  # what is asked is applied as a whole, or not
    # one row of "b" is NaN, for the other there is no room; "a" had a gap; the question another
    assert dict(service.counters.errors) == {"bad-value": 1, "gap": 2, "capacity": 1}
    assert undisturbed.step("a", [9, 9], seq=3).tobytes() == wire.decode_reply(last.reply).y
    for stream in ("a", "c", "d"):
        assert disturbed.export_stream(stream) == undisturbed.export_stream(stream)


def test_malformed_pulled_steps_are_refused_as_a_whole() -> None:
    service = Service(engine())
    wide = steps(["a", "b"], [[1, 1, 1], [2, 2, 2]])
    assert codes(service.handle([wide, wide[:-1]], pulled={0, 1})) == ["bad-shape", "bad-frame"]
    assert service.counters.errors.total() == 2
    assert len(service.engine) == 0


def test_what_a_socket_refuses_is_answered_in_its_place() -> None:
    frames = [step("a", [1, 1]), ProtocolError("not like this"), step("a", [1, 1])]
    assert codes(Service(engine()).handle(frames)) == [None, "bad-frame", None]


def test_info_has_the_keys_of_the_specification() -> None:
    service = Service(engine(capacity=9), max_message_bytes=5000)
    service.handle([step("a", [1, 1]), step("a", [1]), b""])
    info = replies(service.handle([wire.encode(wire.Info())]))[0].value
    assert info["protocol"] == 1
    assert info["model"] == {
        "inputs": ["x0", "x1"],
        "outputs": ["y0", "y1", "y2"],
        "horizon": 1,
        "targets": list(MODEL.targets),
        "horizons": [1, 1, 1],
        "fingerprint": MODEL.fingerprint,
        "online": None,
        "input_offsets": None,
        "output_offsets": None,
        "window": None,
        "start": "answer",
    }
    assert (info["streams"], info["capacity"], info["backend"]) == (1, 9, "cpu")
    assert info["limits"] == {
        "message_bytes": 5000,
        "streams": wire.MAX_STREAMS,
        "rate": None,
        "streams_per_client": None,
        "connections": None,
    }
    assert info["counters"]["errors"] == {"bad-shape": 1, "bad-frame": 1}
    assert info["counters"]["steps"] == 1


def test_messages_above_the_limit_are_too_large() -> None:
    service = Service(engine(), max_message_bytes=2000)
    frame = wire.encode(wire.Import("a", b"x" * 2000))
    assert codes(service.handle([frame])) == ["too-large"]


def test_a_failure_of_the_engine_is_answered_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(engine())

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(service.engine, "result_many", fail)
    monkeypatch.setattr(service.engine, "export_stream", fail)
    with caplog.at_level(logging.ERROR):
        answers = service.handle([step("a", [1, 1]), wire.encode(wire.Export("a"))])
    assert codes(answers) == ["error", "error"]
    assert "RuntimeError: broken" in caplog.text


def test_arrays_given_to_the_engine_can_be_written() -> None:
    # The kernels are compiled for such arrays; for any other they would be compiled again.
    service = Service(engine())
    seen = []
    stepped = service.engine.result_many
    service.engine.result_many = lambda s, X, *k: (seen.append(X), stepped(s, X, *k))[1]  # type: ignore[method-assign]
    service.handle([step("a", [1, 2])])
    assert seen[0].flags.writeable
    assert seen[0].flags.c_contiguous
    assert seen[0].dtype == np.float32


observations = st.tuples(
    st.sampled_from(["a", "b", 0, 1]),
    st.integers(0, 3),
    st.lists(st.sampled_from([0.5, -1.0, float("nan")]), min_size=1, max_size=3),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(observations, st.lists(observations, min_size=1, max_size=3)), max_size=8)
)
def test_a_batch_does_what_its_messages_do_one_by_one(batch: list[object]) -> None:
    """Answers and state do not depend on how messages fall into batches."""
    frames = []
    for item in batch:
        if isinstance(item, tuple):
            frames.append(step(item[0], item[2], item[1]))
        else:
            rows = [row[2][:1] * 2 for row in item]
            frames.append(steps([row[0] for row in item], rows, [row[1] for row in item]))
    at_once, one_by_one = Service(engine(capacity=3)), Service(engine(capacity=3))
    expected = [one_by_one.handle([frame])[0] for frame in frames]
    assert at_once.handle(frames) == expected
    assert at_once.engine.streams() == one_by_one.engine.streams()
    for stream in at_once.engine.streams():
        assert at_once.engine.export_stream(stream) == one_by_one.engine.export_stream(stream)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(observations, min_size=1, max_size=4), max_size=5), st.integers(0, 1))
def test_pulled_rows_do_what_as_many_single_steps_do(
    batch: list[list[tuple[wire.StreamId, int, list[float]]]], asked: int
) -> None:
    """A STEPS at the PULL socket leads to what its rows would have led to, each in a STEP."""
    together, apart = Service(engine(capacity=3)), Service(engine(capacity=3))
    frames, singles = [], []
    for rows in batch:
        X = [x[:1] * 2 for _, _, x in rows]
        frames.append(steps([row[0] for row in rows], X, [row[1] for row in rows]))
        singles.append([step(row[0], x, row[1]) for row, x in zip(rows, X, strict=True)])
    questions = [step("a", [1, 1])] * asked  # before them in the batch
    answers = together.handle([*questions, *frames], pulled=range(asked, 10))[asked:]
    apart.handle(questions)
    expected = [apart.handle([frame], pulled={0})[0] for run in singles for frame in run]
    published = [publication for answer in answers for publication in answer.publications]
    assert published == [p for answer in expected for p in answer.publications]
    assert together.counters.errors == apart.counters.errors
    for answer, run in zip(answers, singles, strict=True):
        own, expected = expected[: len(run)], expected[len(run) :]
        # A later row may have replaced the last prediction by then, and nobody hears it here.
        refused = [error._replace(y=None) for one in (answer, *own) if (error := one.error)]
        assert bool(answer.error) == any(one.error for one in own)
        assert refused[:1] == refused[1:2]
    assert together.engine.streams() == apart.engine.streams()
    for stream in together.engine.streams():
        assert together.engine.export_stream(stream) == apart.engine.export_stream(stream)


def test_floats_are_little_endian() -> None:
    answer = Service(engine()).handle([step("a", [1, 2])])[0]
    y = engine().step("a", [1, 2])
    assert wire.decode_reply(answer.reply).y == struct.pack("<3f", *y)
