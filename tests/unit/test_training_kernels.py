"""The compiled products and loops of training: right for every shape, and found again on disk."""

import subprocess
import sys

import numpy as np
import pytest

from streamlstm.learn import cells
from streamlstm.learn.bptt import Tape
from streamlstm.learn.cells.product import Product
from streamlstm.learn.network import RecurrentNetwork


@pytest.mark.parametrize("N", [1, 8, 16, 20, 32, 40, 64, 100, 256])
@pytest.mark.parametrize(("T", "B", "F"), [(1, 1, 1), (3, 7, 2), (5, 64, 17), (40, 9, 35)])
def test_products_and_their_gradients_equal_those_of_numpy(N: int, T: int, B: int, F: int) -> None:
    rng = np.random.default_rng(N)
    W = rng.standard_normal((F + 4, N)).astype(np.float32)
    product = Product(W, T, B)
    product.rows[:, :, :-1] = rng.standard_normal((T + 1, B, F + 3))
    rows = product.rows[:-1].reshape(T * B, F + 4)
    product.multiply()
    np.testing.assert_allclose(product.Z.reshape(T * B, -1)[:, :N], rows @ W, atol=1e-4)
    product.Z[:, :, :N] = rng.standard_normal((T, B, N))
    dZ = product.Z.reshape(T * B, -1)[:, :N]
    product.weight_gradient()
    np.testing.assert_allclose(product.dW[:, :N], rows.T @ dZ, atol=1e-3)
    below = np.full((T, B, F), np.nan, np.float32)
    product.input_gradient(below)
    np.testing.assert_allclose(below.reshape(T * B, F), dZ @ W[:F].T, atol=1e-4)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_window_is_trained_the_same_in_a_batch_and_run_to_run(cell: str) -> None:
    rng = np.random.default_rng(2)
    network = RecurrentNetwork(3, (20, 20), 1, cell=cell)
    network.theta[:] = rng.normal(scale=0.4, size=network.theta.shape)
    X = rng.standard_normal((12, 9, 3)).astype(np.float32)
    tape = Tape(network, 12, 9)
    together = tape.forward(X).copy()
    gradient = tape.backward(np.ones_like(together)).copy()
    assert (tape.forward(X) == together).all()
    assert (tape.backward(np.ones_like(together)) == gradient).all()
    for b in (0, 8):
        alone = Tape(network, 12, 1).forward(np.ascontiguousarray(X[:, b : b + 1]))
        np.testing.assert_allclose(alone[:, 0], together[:, b], rtol=0, atol=1e-6)


def test_a_second_process_compiles_no_kernel_of_training() -> None:
    cells.compile_kernels()
    program = (
        "from streamlstm.learn import cells\n"
        "cells.compile_kernels()\n"
        "for kernel in cells.KERNELS:\n"
        "    assert kernel.stats.cache_hits and not kernel.stats.cache_misses, kernel.stats\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
