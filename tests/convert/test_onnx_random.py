"""Random graphs over windows: each gives the numbers of ONNX's evaluator, or is refused."""

import warnings
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.errors import ConvertError

torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
onnx = pytest.importorskip("onnx", reason="needs onnx: make test")

from . import onnx_graphs as graphs  # noqa: E402
from .random_windows import RandomWindows  # noqa: E402


def gap(seed: int) -> float | str:
    """Return how far a model is from its graph, or why it is refused."""
    network = RandomWindows(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = network.to_onnx((13, 14, 17, 18)[seed % 4])
        except RuntimeError:
            return "it cannot be exported"
        try:
            model = sl.from_onnx(data)
        except ConvertError as error:
            return str(error)
    assert model.window in (network.rows, None)
    assert model.input_size == network.features
    rng: Any = np.random.default_rng(seed)
    X = rng.standard_normal((network.rows + 2, network.features)).astype(np.float32)
    windows = np.stack([X[t : t + network.rows] for t in range(3)])
    with np.errstate(all="ignore"):
        expected = graphs.run_onnx(onnx.load_from_string(data), {"x": windows})
    answered = expected.reshape(3, -1)[:, -model.output_size :]
    Y = sl.Engine(model, 1, "reference").run("a", X)[-3:]
    return float(np.abs(Y - answered).max() / (1 + np.abs(answered).max()))


def judge(seeds: range) -> int:
    """Assert that none of some graphs is wrong; return how many are right."""
    found = {seed: gap(seed) for seed in seeds}
    assert not {s: d for s, d in found.items() if not isinstance(d, str) and not d < 3e-4}
    return sum(not isinstance(d, str) for d in found.values())


@pytest.mark.short
def test_a_random_graph_is_converted_rightly_or_refused() -> None:
    assert judge(range(3)) > 1


@pytest.mark.exhaustive
def test_more_random_graphs_are_converted() -> None:
    assert judge(range(10)) > 5


@pytest.mark.exhaustive
def test_no_other_random_graph_is_converted_wrongly() -> None:
    judge(range(1_000, 1_050))
