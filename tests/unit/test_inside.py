"""Recording and drawing gates: values, columns of steps, order of units."""

from pathlib import Path

import numpy as np
import pytest

from streamlstm import LSTM, Dense, Engine, StreamLSTMError
from streamlstm.errors import DataError, ModelError
from streamlstm.inside import draw, record
from streamlstm.inside.panels import MAX_ROWS, panels, round_up
from streamlstm.inside.seriation import seriate
from streamlstm.inside.time_axis import MAX_COLUMNS, TimeAxis

from ..contract.models import MODELS, random_model


@pytest.mark.parametrize("name", MODELS)
def test_every_recurrent_network_can_be_recorded(name: str) -> None:
    model = MODELS[name]
    X = np.random.default_rng(0).standard_normal((6, model.input_size)).astype(np.float32)
    if model.categories:
        X[:, 0] = np.arange(6) % model.categories
    if not any(layer.state for layer in model.layers):
        with pytest.raises(ModelError, match="expected a recurrent layer"):
            record(model, X)
        return
    times = [60.0 * n for n in range(len(X))]
    recording = record(model, X, first=2, backend="reference", times=times)
    engine = Engine(model, 1, backend="reference")
    for n, x in enumerate(X):
        explained = engine.explain("s", x, time=times[n])
        y = engine.step("s", x, time=times[n])
        if n < 2:
            continue
        assert np.array_equal(recording.Y[n - 2], y, equal_nan=True)
        for layer in recording.layers:
            for what, values in explained.layers[layer.number].values.items():
                assert np.array_equal(layer.values[what][n - 2], values, equal_nan=True)
    shown = list(panels(recording))
    assert len([panel for panel in shown if panel.new_layer]) == len(recording.layers)
    for panel in shown:
        assert panel.heat is not None or panel.curves
        if panel.heat is not None and not panel.signed and panel.scale == (0.0, 1.0):
            assert (np.isnan(panel.heat) | ((panel.heat >= 0) & (panel.heat <= 1))).all()


def test_a_recording_can_be_asked_by_name() -> None:
    recording = record(random_model([LSTM(1, 3), Dense(3, 1)]), np.ones((4, 1)), units=[2, 0])
    (layer,) = recording.layers
    assert layer.forget_gate.shape == (4, 2)
    assert layer.name == "layer 0, LSTM(1, 3)"
    assert list(recording.columns())[:4] == [
        "x0",
        "predicted y0",
        "layer 0 input_gate 2",
        "layer 0 input_gate 0",
    ]
    with pytest.raises(AttributeError, match=r"layer 0, LSTM\(1, 3\) has no reset_gate; it has"):
        _ = layer.reset_gate


def test_a_bad_row_is_named() -> None:
    with pytest.raises(StreamLSTMError, match=r"row 2: .*missing value"):
        record(random_model([LSTM(1, 3)]), np.array([[1.0], [np.nan]]))


def test_predictions_stand_where_they_speak_of() -> None:
    recording = record(random_model([LSTM(1, 3), Dense(3, 1)]), np.ones((9, 1)))
    prediction = next(panel for panel in panels(recording) if panel.title == "prediction of y0")
    assert prediction.curves[0].start == recording.model.horizon == 1
    assert prediction.meaning == "predicted 1 step before"


def test_many_units_share_rows() -> None:
    shown = panels(record(random_model([LSTM(1, MAX_ROWS + 1)]), np.ones((3, 1))))
    heats = [panel for panel in shown if panel.new_layer]
    assert heats[0].heat is not None
    assert heats[0].heat.shape == (3, MAX_ROWS)


def test_similar_units_become_neighbours() -> None:
    rng = np.random.default_rng(0)
    waves = np.sin(np.arange(300)[:, None] / 7 + np.array([0.0, 2.1, 4.2]))
    kinds = rng.permutation(np.repeat([0, 1, 2], 6))
    values = waves[:, kinds] + 0.05 * rng.standard_normal((300, 18))
    order = seriate(np.append(values, np.full((300, 1), 0.5), axis=1))
    assert order[-1] == 18  # the one that never moves
    assert sorted(order) == list(range(19))
    assert np.count_nonzero(np.diff(kinds[order[:-1]])) == 2
    assert np.array_equal(seriate(np.ones((5, 2))), [0, 1])


def test_columns_are_means_of_steps() -> None:
    axis = TimeAxis(np.arange(3 * MAX_COLUMNS))
    columns = axis.columns(np.arange(3 * MAX_COLUMNS)[:, None])
    assert axis.steps_per_column == 3
    assert columns.shape == (1, MAX_COLUMNS)
    assert columns[0, :2].tolist() == [1, 4]
    assert len(axis.edges) == MAX_COLUMNS + 1
    assert axis.limits == (-0.5, 3 * MAX_COLUMNS - 0.5)


def test_a_gap_in_time_stays_empty() -> None:
    axis = TimeAxis(np.array([0.0, 1.0, 2.0, 50.0, 51.0]))
    assert axis.edges.tolist() == [-0.5, 0.5, 1.5, 2.5, 49.5, 50.5, 51.5]
    columns = axis.columns(np.arange(5.0)[:, None])
    assert np.array_equal(columns, [[0, 1, 2, np.nan, 3, 4]], equal_nan=True)
    x, y = axis.line(np.arange(5.0))
    assert x.tolist() == [0, 1, 2, 26, 50, 51]
    assert np.array_equal(y, [0, 1, 2, np.nan, 3, 4], equal_nan=True)


def test_one_step_has_a_width() -> None:
    assert TimeAxis(np.array([7.0])).edges.tolist() == [6.5, 7.5]


@pytest.mark.parametrize(
    ("bound", "expected"), [(1, 1), (0.9, 1), (1.1, 1.5), (7, 8), (0, 1e-6), (230, 300)]
)
def test_bounds_are_easily_read(bound: float, expected: float) -> None:
    assert round_up(bound) == pytest.approx(expected)


def test_what_cannot_be_drawn(tmp_path: Path) -> None:
    recording = record(random_model([LSTM(1, 3)]), np.ones((3, 1)))
    with pytest.raises(DataError, match=r"gates.bmp: expected a picture's name that ends in .png"):
        draw(recording, tmp_path / "gates.bmp")


def test_the_same_picture_is_the_same_file(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: make test")
    recording = record(random_model([LSTM(1, 9)]), np.ones((3, 1)))
    for suffix in ("png", "svg", "pdf"):
        files = [tmp_path / f"{n}.{suffix}" for n in (1, 2)]
        for file in files:
            draw(recording, file, labels="abc", marks=[2.0], title="A title")
        assert files[0].read_bytes() == files[1].read_bytes()


def test_drawing_leaves_matplotlib_as_it_was(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib: make test")
    before = dict(matplotlib.rcParams)
    draw(record(random_model([LSTM(1, 9)]), np.ones((3, 1))), tmp_path / "a.png", time=[1, 2, 3])
    assert dict(matplotlib.rcParams) == before
