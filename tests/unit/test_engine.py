"""Engine: a refused call changes nothing; ids, sequence numbers, handles, export and threads."""

import threading
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from streamlstm import LSTM, Dense, Engine
from streamlstm.errors import (
    BadValueError,
    CapacityError,
    DuplicateError,
    GapError,
    ModelError,
    ModelMismatchError,
    ShapeError,
    StreamIdError,
    StreamLSTMError,
    UnknownStreamError,
)
from streamlstm.kernels import step

from ..contract.models import random_model

MODEL = random_model([LSTM(3, 10), Dense(10, 2)])
GOOD = [0.1, -0.2, 0.3]


@pytest.fixture
def engine() -> Engine:
    return Engine(MODEL, capacity=4)


def everything(engine: Engine) -> dict[Any, bytes]:
    return {stream: engine.export_stream(stream) for stream in engine.streams()}


BAD_OBSERVATIONS = [
    ([1.0, 2.0], ShapeError, r"expected 3 features \(x0, x1, x2\), got shape \(2,\)"),
    ([[1.0, 2.0, 3.0]], ShapeError, r"got shape \(1, 3\)"),
    (1.0, ShapeError, r"got shape \(\)"),
    ([[1, 2], [3]], ShapeError, "equal length"),
    ([1.0, np.nan, 2.0], BadValueError, r"for x\d, got a missing value"),
    ([1.0, 2.0, np.inf], BadValueError, "got inf for x2"),
    ([1e39, 0, 0], BadValueError, "fit float32, got inf for x0"),
    (["1", "2", "3"], BadValueError, r"got '1' \(str\)"),
    ([None, 1, 2], BadValueError, r"for x\d, got a missing value"),
    ([1j, 0, 0], BadValueError, "expected numbers"),
    ([True, False, True], BadValueError, "got True"),
    ([1, True, 2.0], BadValueError, "got True"),
    ([1.0, 2.0, np.False_], BadValueError, r"got (np\.)?False"),
    ((1, 2, True), BadValueError, "got True"),
    ([None, 1.0, True], BadValueError, "got True"),
    ([10**400, 0, 0], BadValueError, "fit float32"),
    (
        np.ma.masked_array([1.0, 2.0, 3.0], [0, 1, 0]),
        BadValueError,
        r"for x\d, got a missing value",
    ),
    ("abc", BadValueError, "expected numbers"),
    (None, BadValueError, "expected numbers"),
]


@pytest.mark.parametrize(("x", "kind", "words"), BAD_OBSERVATIONS)
def test_a_bad_observation_changes_nothing(
    engine: Engine, x: Any, kind: type[Exception], words: str
) -> None:
    engine.step("known", GOOD)
    before = everything(engine)
    for stream in ("known", "new"):
        with pytest.raises(kind, match=words):
            engine.step(stream, x)
        with pytest.raises(kind):
            engine.stream(stream).step(x)
    assert everything(engine) == before


def test_numbers_of_any_kind_are_the_same_to_a_step_and_a_block(engine: Engine) -> None:
    expected = engine.step("floats", [0.5, 2.0, -1.0])
    for n, x in enumerate(
        [
            [Decimal("0.5"), Fraction(2), -1],
            (Fraction(1, 2), np.float16(2), Decimal(-1)),
            np.array([Decimal("0.5"), 2, np.float32(-1)], object),
        ]
    ):
        engine.forget("floats")
        assert np.array_equal(engine.step("floats", x), expected)
        assert np.array_equal(engine.step_many([n], [x]), expected[None])
    masked = np.ma.masked_array([[0.5, 2.0, -1.0]] * 2, [[0, 0, 0], [0, 1, 0]])
    for X in (masked, list(masked), tuple(masked)):
        with pytest.raises(BadValueError, match=r"observation 1, .* for x1, got a missing"):
            engine.step_many([n, n], X)
    texts = np.ma.masked_array(["a", "1", "2"], [0, 1, 0])
    for x in (texts, [Decimal("sNaN"), 1, 2], [Decimal("NaN"), 1, 2], [Decimal("1e99"), 1, 2]):
        for call in (lambda x=x: engine.step(n, x), lambda x=x: engine.step_many([n], [x])):
            with pytest.raises(BadValueError):
                call()


@pytest.mark.parametrize(
    "stream", ["", "a" * 256, "é" * 128, "\0a", "\ud800", -1, 2**64, True, 1.0, b"a", None, ["a"]]
)
def test_a_bad_id_is_refused(engine: Engine, stream: Any) -> None:
    engine.step(1, GOOD)  # True == 1 must not find it
    before = everything(engine)
    with pytest.raises(StreamIdError, match="stream id: expected"):
        engine.step(stream, GOOD)
    with pytest.raises(StreamIdError):
        engine.step_many(["good", stream], [GOOD, GOOD])
    with pytest.raises(StreamIdError):
        engine.stream(stream)
    assert everything(engine) == before


def test_text_and_integers_are_different_streams(engine: Engine) -> None:
    engine.step("7", GOOD)
    engine.step(7, GOOD)
    engine.step(np.uint64(2**64 - 1), GOOD)
    engine.step(np.str_("é" * 127), GOOD)
    assert engine.streams() == ["7", 7, 2**64 - 1, "é" * 127]
    assert np.array_equal(engine.step(np.int8(7), GOOD), engine.step("7", GOOD))


def test_capacity(engine: Engine) -> None:
    engine.step_many([1, 2, 3], [GOOD] * 3)
    before = everything(engine)
    with pytest.raises(CapacityError, match="stream 5: all 4 slots are taken"):
        engine.step_many([4, 5], [GOOD] * 2)
    assert everything(engine) == before
    engine.step_many([4, 4, 1], [GOOD] * 3)
    with pytest.raises(CapacityError):
        engine.step("new", GOOD)
    with pytest.raises(CapacityError):
        engine.import_stream("new", before[1])
    engine.forget(2)
    engine.step("new", GOOD)
    assert 2 not in engine
    assert len(engine) == 4


def test_step_many_is_all_or_nothing(engine: Engine) -> None:
    engine.step_many(["a", "b"], [GOOD] * 2, seqs=[1, 1])
    before = everything(engine)
    bad = [
        ((["a", "b"], [GOOD, [1, 2, np.nan]]), {}, "observation 1, stream 'b'"),
        ((["a", "b"], [GOOD]), {}, r"expected shape \(2, 3\)"),
        ((["a", "b"], [GOOD, GOOD]), {"seqs": [2]}, "seqs: expected 2"),
        ((["a", "b"], [GOOD, GOOD]), {"seqs": [2, 3]}, "expected observation 2, got 3"),
        ((["a", "a"], [GOOD, GOOD]), {"seqs": [2, 2]}, "applied before"),
        ((["a", "c"], [GOOD, GOOD]), {"seqs": [2, 2]}, "expected observation 1, got 2"),
        ((["a", "b"], [GOOD, GOOD]), {"times": [1.0, np.nan]}, "event time"),
        (("ab", [GOOD, GOOD]), {}, "sequence of ids"),
    ]
    for arguments, options, words in bad:
        with pytest.raises(StreamLSTMError, match=words):
            engine.step_many(*arguments, **options)  # type: ignore[arg-type]
        assert everything(engine) == before


def test_step_each_applies_the_valid_observations(engine: Engine) -> None:
    twin = Engine(MODEL, capacity=4)
    X = [GOOD, [np.nan, 0, 0], GOOD, GOOD, GOOD, GOOD]
    streams = ["a", "a", "", "b", "b", "a"]
    Y, errors = engine.step_each(streams, X, seqs=[1, 2, 1, 1, 3, 2])
    assert {n: type(error) for n, error in errors.items()} == {
        1: BadValueError,
        2: StreamIdError,
        4: GapError,
    }
    expected = [twin.step("a", GOOD), twin.step("b", GOOD), twin.step("a", GOOD)]
    assert np.array_equal(Y[[0, 3, 5]], expected)
    assert np.isnan(Y[[1, 2, 4]]).all()
    assert engine.steps == 3
    assert engine.last_seq("a") == 2
    _, errors = engine.step_each(["c", "d", "e", "c"], [GOOD] * 4)
    assert list(errors) == [2]
    assert isinstance(errors[2], CapacityError)


def test_sequence_numbers(engine: Engine) -> None:
    with pytest.raises(GapError) as gap:
        engine.step("a", GOOD, seq=2)
    assert gap.value.expected == 1
    assert "a" not in engine
    engine.step("a", GOOD, seq=1)
    engine.step("a", GOOD)  # not numbered: applied, and the last number stays
    engine.step("a", GOOD, seq=2)
    before = everything(engine)
    for seq in (1, 2):
        with pytest.raises(DuplicateError) as duplicate:
            engine.step("a", GOOD, seq=seq)
        assert duplicate.value.last == 2
    with pytest.raises(GapError):
        engine.stream("a").step(GOOD, seq=4)
    for seq in (-1, 2**64, 1.5, "1", True):
        with pytest.raises(BadValueError, match="expected seq"):
            engine.step("a", GOOD, seq=seq)  # type: ignore[arg-type]
    assert everything(engine) == before
    engine.reset("a")
    engine.step("a", GOOD, seq=1)


def test_an_unknown_stream_is_an_error(engine: Engine) -> None:
    for call in (engine.reset, engine.forget, engine.export_stream, engine.last_seq):
        with pytest.raises(UnknownStreamError, match="stream 'x': has no state here"):
            call("x")


def test_a_handle_finds_its_stream_again_when_its_slot_has_a_new_owner(engine: Engine) -> None:
    twin = Engine(MODEL, capacity=4)
    handle = engine.stream("a")
    assert np.array_equal(handle.step(GOOD), twin.step("a", GOOD))
    assert np.array_equal(handle.step(GOOD, seq=1, time=2.0), twin.step("a", GOOD))
    engine.forget("a")
    engine.step("b", GOOD)
    before = engine.export_stream("b")
    twin.reset("a")
    assert np.array_equal(handle.step(GOOD), twin.step("a", GOOD))
    assert engine.export_stream("b") == before
    handle.reset()
    twin.reset("a")
    assert np.array_equal(handle.step(GOOD), twin.step("a", GOOD))


def test_import_refuses_damaged_bytes_and_other_models(engine: Engine) -> None:
    engine.step("a", GOOD)
    blob = engine.export_stream("a")
    before = everything(engine)
    other = Engine(random_model([LSTM(3, 10), Dense(10, 2)], seed=5), capacity=4)
    with pytest.raises(ModelMismatchError, match="belongs to the model"):
        other.import_stream("a", blob)
    damaged = [b"", b"x" * len(blob), blob[:-1], blob + b"\0", blob[:60] + b"\xff" + blob[61:]]
    for bad in damaged:
        with pytest.raises(BadValueError, match="state: "):
            engine.import_stream("a", bad)
    with pytest.raises(BadValueError, match="expected bytes, got str"):
        engine.import_stream("a", "text")  # type: ignore[arg-type]
    assert everything(engine) == before


@pytest.mark.parametrize("capacity", [0, -1, 2.5, True, 10**15, 10**30])
def test_an_invalid_capacity_is_refused(capacity: Any) -> None:
    with pytest.raises(CapacityError, match="capacity: "):
        Engine(MODEL, capacity=capacity)


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(ModelError, match=r"expected auto, cpu, cuda or reference, .* 'tpu'"):
        Engine(MODEL, backend="tpu")
    with pytest.raises(BadValueError, match="threads"):
        Engine(MODEL, threads=0)
    with pytest.raises(ModelError, match=r"expected a Model, got str; Model\.load"):
        Engine("model.safetensors")  # type: ignore[arg-type]


def test_arguments_may_be_arrays_and_iterators(engine: Engine) -> None:
    twin = Engine(MODEL, capacity=4)
    X = np.array([GOOD, GOOD])
    expected = twin.step_many([1, 2], X)
    seqs, times = np.array([1, 1]), np.array([0.5, 1.5])
    assert np.array_equal(engine.step_many(np.array([1, 2]), X, seqs=seqs, times=times), expected)
    expected = twin.step_many([1, 2], X)
    assert np.array_equal(engine.step_many((n for n in (1, 2)), X, seqs=seqs + 1), expected)


@pytest.mark.parametrize("time", [np.nan, np.inf, 10**400, True, "now"])
def test_an_invalid_time_is_refused(engine: Engine, time: Any) -> None:
    with pytest.raises(BadValueError, match="event time"):
        engine.step("a", GOOD, time=time)
    assert "a" not in engine


def test_an_empty_block(engine: Engine) -> None:
    assert engine.step_many([], np.zeros((0, 3))).shape == (0, 2)
    assert engine.step_many([], []).shape == (0, 2)


def test_no_kind_of_array_makes_the_kernels_compile_again(engine: Engine) -> None:
    def compiled() -> int:
        return len(step.step_block.signatures) + len(step.step_parallel.signatures)

    before = compiled()
    read_only = np.frombuffer(np.ones(6, np.float32).tobytes(), np.float32)
    for X in (
        read_only.reshape(2, 3),
        np.ones((3, 2), np.float32).T,
        np.ones((4, 3), np.float32)[::2],
        np.ones((2, 3), ">f4"),
        np.ones((2, 3), np.int8),
        [[1, 2, 3], (4, 5, 6)],
    ):
        engine.step_many(["a", "b"], X)
        engine.step_each(["a", "b"], X)
        engine.step("a", np.asarray(X)[0])
    assert compiled() == before


def test_predictions_belong_to_the_caller(engine: Engine) -> None:
    first = engine.step("a", GOOD)
    copy = first.copy()
    engine.step("a", GOOD)
    assert np.array_equal(first, copy)


def test_no_step_of_many_threads_is_lost() -> None:
    engine, twin = Engine(MODEL, capacity=50), Engine(MODEL, capacity=50)
    X = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)

    def work(own: int) -> None:
        for n, x in enumerate(X, start=1):
            engine.step(own, x, seq=n)
            engine.step_many([100 + own, 200 + own], [x, x])

    threads = [threading.Thread(target=work, args=(own,)) for own in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.steps == 6 * 3 * len(X)
    for x in X:
        expected = twin.step(0, x)
    x = np.zeros(3, np.float32)
    expected = twin.step(0, x)
    for own in range(6):
        assert np.array_equal(engine.step(own, x), expected)
        assert np.array_equal(engine.step(200 + own, x), expected)
