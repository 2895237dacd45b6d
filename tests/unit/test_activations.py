"""The vector activations against float64, over all of float32."""

import numpy as np
import pytest
from numba import njit

from streamlstm.kernels import activations, layout, reference
from streamlstm.kernels.layout import CODES
from streamlstm.kernels.simd import LANES, load, store


@njit
def _tanh(x, y):
    for n in range(0, len(x), LANES):
        store(y, n, activations.tanh(load(x, n)))


@njit
def _sigmoid(x, y):
    for n in range(0, len(x), LANES):
        store(y, n, activations.sigmoid(load(x, n)))


@njit
def _relu(x, y):
    for n in range(0, len(x), LANES):
        store(y, n, activations.relu(load(x, n)))


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    """Every sign and exponent of float32 with 64 mantissas each, and a fine grid where it bends."""
    bits = np.arange(0, 2**32, 2**17, dtype=np.uint32).view(np.float32)
    every = bits[np.isfinite(bits)]
    values = np.concatenate([every, np.linspace(-12, 12, 1 << 18, dtype=np.float32)])
    return values[: len(values) // LANES * LANES].copy()


def test_tanh_is_within_five_units_in_the_last_place(x: np.ndarray) -> None:
    y = np.empty_like(x)
    _tanh(x, y)
    exact = np.tanh(x.astype(np.float64))
    unit = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    normal = np.abs(x) > 1e-30
    assert np.max(np.abs(y - exact)[normal] / unit[normal]) < 5
    assert np.abs(y).max() <= 1
    assert np.abs(y - exact)[~normal].max() < 1e-35


def test_sigmoid_is_within_two_units_of_one(x: np.ndarray) -> None:
    y = np.empty_like(x)
    _sigmoid(x, y)
    exact = 0.5 * (1 + np.tanh(0.5 * x.astype(np.float64)))
    assert np.max(np.abs(y - exact)) < 2 * np.finfo(np.float32).eps
    assert y.min() >= 0
    assert y.max() <= 1


def test_relu(x: np.ndarray) -> None:
    y = np.empty_like(x)
    _relu(x, y)
    assert np.array_equal(y, np.maximum(x, 0))


@njit
def _activate(kind, x, y):
    for n in range(0, len(x), LANES):
        store(y, n, activations.activate(kind, np.float32(0.0), np.float32(0.0), load(x, n)))


@pytest.mark.parametrize("name", ["mish", "hard_silu"])
def test_mish_and_hard_silu_are_right_at_every_size(x: np.ndarray, name: str) -> None:
    y = np.empty_like(x)
    _activate(CODES[name], x, y)
    exact = reference.ACTIVATIONS[name](x.astype(np.float64))
    assert np.isfinite(y).all()
    assert np.max(np.abs(y - exact) / (1 + np.abs(exact))) < 3 * np.finfo(np.float32).eps


def test_every_activation_has_its_code_and_its_equation() -> None:
    assert all(getattr(layout, name.upper()) == code for name, code in CODES.items())
    assert reference.ACTIVATIONS.keys() == layout.ACTIVATIONS.keys()
