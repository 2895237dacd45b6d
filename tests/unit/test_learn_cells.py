"""Training with each cell: it learns, and the model predicts as the trained network."""

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
