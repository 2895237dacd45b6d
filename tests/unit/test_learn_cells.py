"""Training with each cell: it learns, and the model predicts as the trained network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streamlstm.engine.engine import Engine
from streamlstm.errors import ModelError
from streamlstm.learn.build import build_model
from streamlstm.learn.dataset import Dataset
from streamlstm.learn.fit import fit
from streamlstm.learn.inference import SequenceRunner
from streamlstm.learn.settings import Settings
from streamlstm.learn.training import train


def sine(n: int) -> NDArray[np.float32]:
    t = np.arange(n)[:, None]
    return (10 + 3 * np.sin(2 * np.pi * t / 20)).astype(np.float32)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("more", [{}, {"layer_norm": True, "residual": True}])
def test_every_cell_learns_and_is_served_as_it_was_trained(cell: str, more: dict[str, Any]) -> None:
    values = sine(500)
    data = Dataset([("", values)], [0], [0])
    settings = Settings(hidden_sizes=(8, 8), cell=cell, epochs=12, window=16, **more)
    fitted = fit(data, settings)
    assert fitted.best.validation < 0.5
    model = build_model(fitted.network, data, ["value"], ["value"])
    engine = Engine(model, backend="reference")
    served = np.stack([engine.step("s", x) for x in values[:200]])
    outputs, _ = SequenceRunner(fitted.network, data).run(np.array([0]))
    trained = data.output_scaling.invert(outputs[:200]) + values[:200]
    np.testing.assert_allclose(served, trained, atol=1e-4)


def test_a_cell_that_is_none_is_refused() -> None:
    data = Dataset([("", sine(200))], [0], [0])
    with pytest.raises(ModelError, match="cell: expected one of lstm, gru, rnn, got 'transformer'"):
        fit(data, Settings(cell="transformer"))


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_a_model_of_another_cell_is_trained_on(cell: str, tmp_path: Path) -> None:
    path = tmp_path / "wave.csv"
    np.savetxt(path, sine(300), header="value", comments="")
    more = {"layer_norm": True, "residual": True}
    first = train(path, target="value", hidden=6, layers=2, cell=cell, epochs=2, window=16, **more)
    again = train(path, target="value", from_model=first.model, epochs=2)
    assert again.settings.hidden_sizes == (6, 6)
    assert again.model.layers == first.model.layers
    assert again.best.validation <= first.best.validation * 1.001


@pytest.mark.parametrize("more", [{"weight_decay": 1.0}, {"recurrent_dropout": 0.3}])
def test_against_overfitting(more: dict[str, Any]) -> None:
    rng = np.random.default_rng(12)
    noise = rng.normal(size=(200, 1)).astype(np.float32)
    data = Dataset([("", noise)], [0], [0], skip=False)  # nothing to learn but the rows
    settings = Settings((32,), epochs=150, window=16, rate=1e-2, patience=150)
    plain, held = fit(data, settings), fit(data, replace(settings, **more))
    assert plain.history[-1].loss < 0.5 * held.history[-1].loss
    late = [np.mean([e.validation for e in run.history[-50:]]) for run in (plain, held)]
    assert late[0] > 1.04 * late[1], late
