"""Values that are large against their changes: offsets, subtracted and added in float64."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from streamlstm import (
    LSTM,
    AsyncEngine,
    Dense,
    Embedding,
    Engine,
    Model,
    Online,
    Scaling,
    wire,
)
from streamlstm.errors import (
    BadValueError,
    DuplicateError,
    ModelError,
    ModelFileError,
    ModelMismatchError,
    PrecisionError,
)
from streamlstm.network.compatibility import compatibility_key, describe_changes

from ..contract.models import random_model

LEVEL = 1_700_000_000.0
SERIES = LEVEL + 10 * np.sin(np.arange(60) / 9)
MOVED = SERIES - LEVEL
STAGE = Online(fill="last", adapt="rls", intervals=(0.5, 0.9), anomaly=True, lower=-20.0 + LEVEL)


def network(online: Online | None = None, offset: float | None = LEVEL) -> Model:
    """Return a model that forecasts its input; the same weights whatever the offset."""
    parts = random_model([LSTM(1, 9), Dense(9, 1)], seed=3)
    return Model(
        parts.layers,
        parts.weights,
        inputs=["value"],
        outputs=["value"],
        input_scaling=Scaling([0.5], [7.0]),
        output_scaling=Scaling([0.0], [2.0]),
        skip=[0],
        online=online,
        input_offsets=None if offset is None else [offset],
    )


def plain(online: Online | None = None) -> Model:
    return network(online, None)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_model_with_an_offset_says_what_one_without_says_of_the_moved_series(
    backend: str,
) -> None:
    engine, other = Engine(network(), backend=backend), Engine(plain(), backend=backend)
    for x, moved in zip(SERIES, MOVED, strict=True):
        y, expected = engine.step("a", [x]), other.step("a", [moved])
        assert (y.dtype, y.shape, expected.dtype) == (np.float64, (1,), np.float32)
        np.testing.assert_array_equal(y, expected.astype(np.float64) + LEVEL)
        assert y.flags.c_contiguous
        many = engine.step_many(["b", "c"], [[x], [x]])
        np.testing.assert_allclose(many, [y, y], rtol=1e-15)  # blocks round as they may
        np.testing.assert_array_equal(engine.stream("d").step([x]), y)
    kept = engine.export_stream("a"), other.export_stream("a")
    assert len(kept[0]) == len(kept[1])


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_the_online_stage_sees_the_moved_series_and_bounds_are_where_they_belong(
    backend: str,
) -> None:
    engine = Engine(network(STAGE), backend=backend)
    bounded = Online(**{**STAGE.to_dict(), "lower": -20.0})
    other = Engine(plain(bounded), backend=backend)
    X, Z = SERIES.copy(), MOVED.copy()
    X[20:23] = Z[20:23] = np.nan
    for x, z in zip(X, Z, strict=True):
        got, expected = engine.observe("a", [x]), other.observe("a", [z])
        for name in ("y", "low", "high"):
            there = getattr(expected, name).astype(np.float64) + LEVEL
            np.testing.assert_array_equal(getattr(got, name), there)
        for name in ("error", "score", "p_value", "alarm", "filled"):
            np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    low, high = got.interval(0.5)
    assert LEVEL - 20 <= got.low[0] <= low[0] <= got.y[0] <= high[0] < LEVEL + 100
    assert str(int(LEVEL))[:9] in repr(got)
    forecast, moved = engine.forecast("a", 4), other.forecast("a", 4)
    for name in ("y", "low", "high"):
        there = getattr(moved, name).astype(np.float64) + LEVEL
        np.testing.assert_array_equal(getattr(forecast, name), there)
    said = engine.observe_many(["a", "b"], [[SERIES[0]], [SERIES[0]]])
    assert said.y.dtype == np.float64
    assert said[0].y[0] == said.y[0, 0]


def test_an_explanation_has_the_prediction_of_the_step() -> None:
    engine = Engine(network())
    for x in SERIES[:5]:
        engine.step("a", [x])
    explained = engine.explain("a", [SERIES[5]]).prediction
    np.testing.assert_allclose(explained - LEVEL, engine.step("a", [SERIES[5]]) - LEVEL, rtol=1e-4)


def test_float32_is_refused_since_it_has_lost_the_values() -> None:
    engine, x = Engine(network()), np.array([LEVEL], np.float32)
    for call in (
        lambda: engine.step("a", x),
        lambda: engine.step("a", np.zeros(1, np.float16)),
        lambda: engine.stream("a").step(x),
        lambda: engine.observe("a", x),
        lambda: engine.step_many(["a"], x[None]),
        lambda: engine.step_each(["a"], x[None]),
        lambda: engine.explain("a", x),
    ):
        with pytest.raises(PrecisionError, match="needs of value") as caught:
            call()
        assert isinstance(caught.value, BadValueError)
        assert caught.value.code == "precision"
    assert len(engine) == 0
    engine.step("a", np.array([int(LEVEL)]))  # whole numbers lose nothing
    for bad in ([np.inf], [1e60], [np.nan], ["x"]):
        with pytest.raises(BadValueError):
            engine.step("a", bad)
    assert engine.steps == 1


def test_async_engine_steps_a_batch_of_float64() -> None:
    async def both() -> list[np.ndarray]:
        engine = AsyncEngine(Engine(network()))
        calls = [engine.step(stream, [x], seq=1) for stream, x in zip("abc", SERIES, strict=False)]
        found = list(await asyncio.gather(*calls))
        with pytest.raises(PrecisionError):
            await engine.step("d", np.zeros(1, np.float32))
        with pytest.raises(DuplicateError) as caught:
            await engine.step("a", [SERIES[0]], seq=1)
        return [*found, caught.value.values]

    *found, again = asyncio.run(both())
    expected = Engine(network()).step_many(list("abc"), SERIES[:3, None])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(again, expected[0])


def test_the_last_prediction_is_repeated_with_its_offset() -> None:
    engine = Engine(network())
    y = engine.step("a", [SERIES[0]], seq=1)
    np.testing.assert_array_equal(engine.last_prediction("a", 1), y)
    Y, errors = engine.step_each(["a", "b"], SERIES[:2, None], seqs=[1, 1])
    np.testing.assert_array_equal(errors[0].values, y)
    assert np.isnan(Y[0, 0])
    assert Y[1, 0] > LEVEL - 100


def test_labels_are_moved_too() -> None:
    stage = Online(adapt="rls", labels=5)
    engine, other = Engine(network(stage)), Engine(plain(stage))
    for n in range(30):
        engine.step("a", [SERIES[n]])
        other.step("a", [MOVED[n]])
        engine.learn("a", n + 1, [SERIES[n + 1]])
        other.learn("a", n + 1, [MOVED[n + 1]])
    np.testing.assert_array_equal(
        engine.step("a", [SERIES[30]]), other.step("a", [MOVED[30]]).astype(np.float64) + LEVEL
    )
    with pytest.raises(PrecisionError):
        engine.learn("a", 31, np.array([LEVEL], np.float32))


def test_a_model_file_keeps_offsets_and_one_without_is_as_before(tmp_path: Path) -> None:
    model, path = network(STAGE), tmp_path / "model.safetensors"
    model.save(path)
    loaded = Model.load(path)
    assert loaded.fingerprint == model.fingerprint != plain(STAGE).fingerprint
    np.testing.assert_array_equal(loaded.input_offsets, [LEVEL])
    np.testing.assert_array_equal(loaded.output_offsets, [LEVEL])
    assert loaded.input_offsets.dtype == np.float64
    assert b'"version":"3"' in path.read_bytes()
    plain().save(path)
    assert b'"version":"1"' in path.read_bytes()
    assert b"input_offsets" not in path.read_bytes()
    assert Model.load(path).input_offsets is None
    for moved in (
        model.with_online(None).with_online(STAGE),
        model.with_weights(model.weights),
        plain(None).with_offsets([LEVEL]).with_online(STAGE),
    ):
        assert moved.fingerprint == model.fingerprint
    unnamed = network().with_offsets([LEVEL], [LEVEL]).with_offsets(None)
    assert unnamed.fingerprint == plain().fingerprint


def test_streams_continue_only_with_the_same_offsets() -> None:
    engine = Engine(network())
    engine.step("a", [SERIES[0]])
    blob = engine.export_stream("a")
    other = network(offset=LEVEL + 1)
    with pytest.raises(ModelMismatchError, match="offset 1700000001, that of the running"):
        engine.reload(other)
    assert "offset" in describe_changes(network(), plain())[0]
    assert len({compatibility_key(m) for m in (network(), other, plain())}) == 3
    with pytest.raises(ModelMismatchError):
        Engine(other).import_stream("a", blob)
    assert engine.reload(plain(), anew=True).anew
    assert engine.step("a", np.array([1.0], np.float32)).dtype == np.float32
    assert engine.reload(network(), anew=True).anew
    with pytest.raises(PrecisionError):
        engine.step("a", np.array([1.0], np.float32))
    assert engine.step("a", [SERIES[0]])[0] > LEVEL - 100


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"input_offsets": [1.0, 2.0]}, "one number for each of value"),
        ({"input_offsets": [np.nan]}, "finite numbers"),
        ({"input_offsets": ["a"]}, "array of real numbers"),
        ({"input_offsets": [5.0], "output_offsets": [4.0]}, "expected 5 for value, that of the"),
        ({"output_offsets": [4.0]}, "expected 0 for value, that of the"),
        ({"input_offsets": [5.0], "online": Online(fill="zero")}, 'another fill than "zero"'),
    ],
)
def test_offsets_that_do_not_fit_are_refused(options: dict, expected: str) -> None:
    parts = random_model([LSTM(1, 9), Dense(9, 1)])
    with pytest.raises(ModelError, match=expected):
        Model(parts.layers, parts.weights, ["value"], ["value"], **options)


def test_offsets_of_categories_and_bounds_of_several_outputs_are_refused() -> None:
    parts = random_model([Embedding(2, 4, 3), LSTM(4, 5), Dense(5, 2)])
    with pytest.raises(ModelError, match="0 for the category"):
        Model(parts.layers, parts.weights, input_offsets=[1.0, 0.0])
    parts = random_model([LSTM(2, 5), Dense(5, 2)])
    with pytest.raises(ModelError, match="no lower and upper"):
        Model(
            parts.layers,
            parts.weights,
            ["a", "b"],
            ["a", "b"],
            online=Online(intervals=(0.9,), lower=0.0),
            input_offsets=[1e9, 0.0],
        )


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    network().save(path)
    data = bytearray(path.read_bytes())
    at = data.index(np.array([LEVEL]).tobytes())
    data[at : at + 8] = np.array([np.inf]).tobytes()
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match="finite"):
        Model.load(path)


def test_vectors_of_full_precision_are_arrays_on_the_wire() -> None:
    vector = wire.Doubles.of([SERIES[0], None])
    assert wire.from_vector(vector)[0] == SERIES[0]
    assert np.isnan(wire.from_vector(vector)[1])
    assert vector == wire.to_floats([SERIES[0], np.nan])
    step = wire.decode_request(wire.encode(wire.Step("a", 1, vector)))
    np.testing.assert_array_equal(step.x.full, vector.full)
    rows = wire.Doubles.of([[1.0, 2.0], [SERIES[1], 4.0]])
    steps = wire.decode_request(wire.encode(wire.Steps(["a", "b"], None, rows)))
    np.testing.assert_array_equal(steps.X.full, rows.full)
    reply = wire.decode_reply(wire.encode(wire.Predictions(["a", "b"], None, rows)))
    np.testing.assert_array_equal(reply.values, rows.full.reshape(2, 2))
    np.testing.assert_array_equal(wire.rows_of(rows, [1], 2).full, rows.full[2:])
    assert not isinstance(wire.join_vectors([rows, b"\0" * 8]), wire.Doubles)
