"""The head that learns: compiled against specified, its promises, and what is hard on it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from streamlstm.kernels.online import adaptation as kernel
from streamlstm.kernels.online import least_squares, least_squares_scalar
from streamlstm.kernels.simd import LANES, lanes, target
from streamlstm.online import adaptation
from streamlstm.online.adaptation import Adaptation

from .online_stream import Compiled, Specified, Steps, made_up

HEADS = {
    "one output": Adaptation(5, 1, (1.0,)),
    "a vector wide": Adaptation(13, 1, (2.0,), (3,)),
    "three outputs, seasons, late labels": Adaptation(18, 3, (1.0, 2.0, 0.5), (4, 2), labels=9),
    "far ahead": Adaptation(7, 24, (1.0,), (7,)),
    "a mix alone": Adaptation(5, 2, (1.0, 3.0), (4,), adapted=False),
}
every_head = pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)


def adapted(stream: Any) -> float:
    """Return what the head forecast at the last step, of its first output."""
    head = stream.head
    steps = adaptation.split(head, stream.columns)["steps"].reshape(head.kept, -1)
    place = int(stream.columns[0, 0]) - 1
    return float(steps[place, kernel.FORECASTS + kernel.EXPERTS + head.experts - 1])


@every_head
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 2e-4), (np.float32, 4e-4)])
def test_the_kernel_does_what_is_specified(head: Adaptation, dtype: Any, tolerance: float) -> None:
    steps = made_up(head, 200)
    stream, specified = Compiled(head), Specified(head, dtype)
    np.testing.assert_allclose(stream.step(steps), specified.step(steps), tolerance, tolerance)
    np.testing.assert_allclose(stream.columns, specified.columns, tolerance, tolerance)


@given(st.integers(1, 40), st.integers(1, 3), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_kernel_does_what_is_specified_at_every_size(
    units: int, outputs: int, horizon: int, seed: int
) -> None:
    head = Adaptation(units, horizon, (1.0,) * outputs, (5,))
    steps = made_up(head, 12, seed)
    stream, specified = Compiled(head), Specified(head, np.float64)
    np.testing.assert_allclose(stream.step(steps), specified.step(steps), 1e-4, 1e-4)
    np.testing.assert_allclose(stream.columns, specified.columns, 1e-4, 1e-4)


def test_streams_of_a_block_do_not_touch_each_other() -> None:
    head = HEADS["three outputs, seasons, late labels"]
    several = [made_up(head, 30, seed) for seed in range(3)]
    alone = []
    for steps in several:
        stream = Specified(head, np.float64)
        stream.step(steps)
        alone.append(stream.columns)
    state = adaptation.split(head, np.repeat(adaptation.initial(head)[None].astype(float), 3, 0))
    for t in range(30):
        rows = [
            np.concatenate(part)
            for part in zip(
                *(tuple(vars(steps.rows(t, t + 1).astype(float)).values()) for steps in several),
                strict=True,
            )
        ]
        _, state = adaptation.step(*rows, [t] * 3, state, head)
    together = np.concatenate(list(state.values()), axis=1)
    np.testing.assert_allclose(together, np.concatenate(alone), 1e-9, 1e-9)


def test_it_is_recursive_least_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """After n labels w is what minimises sum 0.9995^(n-i) e_i^2 + 0.9995^n |w|^2 / 0.01."""
    monkeypatch.setattr(adaptation, "HEAD_CLIP", 1e9)
    head = Adaptation(6, 1, (1.0,))
    steps = made_up(head, 400, missing=0)
    stream, features, targets = Specified(head, np.float64), [], []
    for t in range(400):
        stream.step(steps.rows(t, t + 1))
        kept = stream.state["steps"][0]
        features.append(kept[-head.features :])
        targets.append(float(steps.now[t, 0]) - float(steps.y[t - 1, 0]))
    phi, d = np.array(features[:-1]), np.array(targets[1:])
    decay = kernel.FORGETTING ** np.arange(len(d) - 1, -1, -1)
    ridge = kernel.FORGETTING ** len(d) / kernel.FIRST_P * np.eye(head.features)
    w = np.linalg.solve((phi.T * decay) @ phi + ridge, (phi.T * decay) @ d)
    np.testing.assert_allclose(stream.state["weights"][0], w, 1e-6, 1e-6)


def test_a_head_finds_what_the_network_misses() -> None:
    head = Adaptation(16, 1, (1.0,))
    steps = made_up(head, 3000)
    told = Compiled(head).step(steps)
    missed, static = (np.abs(y[2000:-1] - steps.now[2001:]).mean() for y in (told, steps.y))
    noise = 0.3 * (2 / np.pi) ** 0.5
    assert missed < 1.1 * noise < static / 2


def test_it_starts_as_the_network() -> None:
    head = Adaptation(4, 1, (1.0,))
    steps = made_up(head, 50)
    silent = replace(steps, labels=np.full_like(steps.labels, np.nan))
    stream = Compiled(head)
    stream.step(silent)
    assert adapted(stream) == steps.y[-1, 0]


def test_a_label_from_outside_is_applied_once() -> None:
    head = Adaptation(6, 1, (1.0,), labels=5)
    streams = [Compiled(head), Specified(head, np.float64)]
    steps = made_up(head, 20)
    steps = replace(steps, now=np.full_like(steps.now, np.nan))
    steps = replace(steps, labels=steps.now)
    label = np.array([0.7], np.float32)
    for stream in streams:
        assert stream.learn(0, label) == kernel.NOT_YET
        stream.step(steps.rows(0, 12))
        answers = [stream.learn(number, label) for number in (9, 7, 9, 11, 6, 12, 8, 10, 8)]
        applied, old, early, twice = kernel.APPLIED, kernel.TOO_OLD, kernel.NOT_YET, kernel.TWICE
        assert answers == [applied, applied, twice, applied, old, early, applied, applied, twice]
        stream.step(steps.rows(12, 20))
    np.testing.assert_allclose(streams[0].columns, streams[1].columns, 1e-4, 1e-4)
    assert np.abs(adaptation.split(head, streams[0].columns)["weights"]).max() > 0


def test_a_refused_label_changes_nothing() -> None:
    head = Adaptation(6, 1, (1.0,), labels=5)
    stream = Compiled(head)
    stream.step(made_up(head, 12, missing=0))
    before = stream.columns.copy()
    for number in (3, 8, 10, 12, 2**40):  # too old, learned with the step after it, not yet
        assert stream.learn(number, np.array([1.0], np.float32)) != kernel.APPLIED
    assert np.array_equal(stream.columns, before, equal_nan=True)
    assert stream.learn(11, np.array([1.0], np.float32)) == kernel.APPLIED


def test_numbers_of_48_bits_are_told_apart() -> None:
    head = Adaptation(2, 1, (1.0,), labels=3)
    stream = Compiled(head)
    stream.number = 2**48 - 10
    stream.step(made_up(head, 4))
    label = np.array([1.0], np.float32)
    assert stream.learn(2**48 - 7, label) == kernel.APPLIED
    assert stream.learn(2**48 - 7 - 2**24, label) == kernel.TOO_OLD
    assert stream.learn(2**48 - 6, label) == kernel.NOT_YET


def test_an_output_learns_though_the_label_of_another_is_missing() -> None:
    head = Adaptation(4, 1, (1.0, 1.0), labels=3)
    steps = made_up(head, 60, missing=0)
    labels = steps.labels.copy()
    labels[:, 1] = np.nan
    stream = Compiled(head)
    stream.step(replace(steps, labels=labels))
    w = adaptation.split(head, stream.columns)["weights"].reshape(2, -1)
    assert w[0].any()
    assert not w[1].any()
    assert stream.learn(58, np.array([np.nan, 1.0], np.float32)) == kernel.APPLIED
    assert adaptation.split(head, stream.columns)["weights"].reshape(2, -1)[1].any()


def spoilt(steps: Steps, rows: slice, values: Any) -> Steps:
    """Replace the values of some steps, and with them labels and forecasts."""
    parts = {name: getattr(steps, name).copy() for name in ("now", "labels", "y")}
    for part in parts.values():
        part[rows] = np.resize(np.array(values, np.float32), part[rows].shape)
    return replace(steps, **parts)


HARD = {
    "huge": [1e30],
    "huge signs": [1e30, -1e30, 3e38],
    "tiny": [1e-30, -1e-30],
    "both": [1e30, 1e-30, -1e30, 0.0, -0.0],
    "constant": [3.0],
}


@pytest.mark.parametrize("horizon", [1, 24])
@pytest.mark.parametrize("values", HARD.values(), ids=HARD)
def test_it_recovers_from_hard_values(values: list[float], horizon: int) -> None:
    head = Adaptation(8, horizon, (1.0,), (6,))
    steps = made_up(head, 3000)
    hard = spoilt(steps, slice(1000, 1030), values)
    stream = Compiled(head)
    told = stream.step(hard)
    assert np.isfinite(told).all()
    kept = stream.columns[~np.isnan(stream.columns)]
    assert np.isfinite(kept).all()
    after = slice(1230, -horizon)
    easy = Compiled(head).step(steps)
    truth = steps.now[1230 + horizon :]
    assert np.abs(told[after] - truth).mean() < 1.2 * np.abs(easy[after] - truth).mean()


def test_nothing_but_missing_labels_changes_nothing_that_was_learned() -> None:
    head = Adaptation(8, 1, (1.0,))
    steps = made_up(head, 600)
    stream = Compiled(head)
    stream.step(steps.rows(0, 300))
    before = adaptation.split(head, stream.columns.copy())
    rest = steps.rows(300, 600)
    stream.step(replace(rest, labels=np.full_like(rest.labels, np.nan)))
    after = adaptation.split(head, stream.columns)
    for name in ("weights", "P", "mix"):
        assert np.array_equal(after[name], before[name]), name


def constant_then_jump(constant: int) -> None:
    """Learn, then see nothing new for long, then learn again at another level."""
    head = Adaptation(8, 1, (1.0,))
    steps = made_up(head, 1200, missing=0)
    stream = Compiled(head)
    stream.step(steps.rows(0, 500))
    still = Steps(*(np.repeat(part[499:500], 10_000, axis=0) for part in vars(steps).values()))
    for _ in range(constant // 10_000):
        told = stream.step(still)
    assert abs(told[-1, 0] - still.now[0, 0]) < 1e-3
    P = adaptation.split(head, stream.columns)["P"][0]
    assert 0 < P.max() < 1
    moved = Steps(steps.h[500:], *(part[500:] + 50 for part in (steps.now, steps.labels, steps.y)))
    told = stream.step(moved)
    missed = np.abs(told[200:-1] - moved.now[201:]).mean()
    assert missed < 1.2 * 0.3 * (2 / np.pi) ** 0.5


def test_a_constant_stream_stays_sound() -> None:
    constant_then_jump(50_000)


@pytest.mark.exhaustive
def test_a_million_constant_rows_then_a_jump() -> None:
    constant_then_jump(1_000_000)


def test_units_that_are_silent_neither_blow_up_nor_stop_the_learning() -> None:
    head = Adaptation(8, 1, (1.0,))
    steps = made_up(head, 11_000, missing=0)
    silent, awake = steps.rows(0, 10_000), steps.rows(10_000, 11_000)
    silent.h[:, 4:] = 0  # these are views of the first rows
    stream, ends = Compiled(head), []
    for _ in range(3):
        assert np.isfinite(stream.step(silent)).all()
        ends.append(unpacked(adaptation.split(head, stream.columns.copy())["P"][0]).astype(float))
    for P in ends:
        assert np.diagonal(P)[:4].min() > 1e-4  # what moves goes on forgetting
        assert np.diagonal(P).max() <= 2.001
        assert np.linalg.eigvalsh(P).min() > -1e-5
    assert np.diagonal(ends[-1])[4:8].min() > 0.99
    told = stream.step(awake)
    assert np.abs(told[200:-1] - awake.now[201:]).mean() < 1.2 * 0.3 * (2 / np.pi) ** 0.5


def test_a_matrix_that_rounding_has_broken_begins_again() -> None:
    head = Adaptation(4, 1, (1.0,))
    stream, specified = Compiled(head), Specified(head, np.float64)
    places = adaptation.split(head, np.arange(stream.size)[None])["P"][0]
    stream.columns[0, places] *= -1
    specified.state["P"] *= -1
    steps = made_up(head, 100, missing=0)
    np.testing.assert_allclose(stream.step(steps), specified.step(steps), 1e-4, 1e-4)
    assert np.linalg.eigvalsh(unpacked(specified.state["P"][0])).min() > 0


def unpacked(triangle: Any) -> Any:
    """Return the symmetric matrix of a packed triangle."""
    D = int((2 * len(triangle)) ** 0.5)
    P = np.zeros((D, D), triangle.dtype)
    P[np.tril_indices(D)] = triangle
    return P + np.tril(P, -1).T


@pytest.mark.parametrize("products", [least_squares, least_squares_scalar], ids=["simd", "scalar"])
@pytest.mark.parametrize("D", [1, 5, 16, 19, 37, 64, 83])
def test_the_products_of_least_squares(products: Any, D: int) -> None:
    read, write, dot = products.read, products.write, products.dot
    add_multiple, gain, downdate = products.add_multiple, products.gain, products.downdate

    @njit(error_model="numpy")
    def run(S, W, D, wide):  # type: ignore[no-untyped-def]
        k, z = wide, 2 * wide
        read(S, 0, W, 0, D, 1.0)
        news = gain(S, 3 * D, W, 0, k, D, z)
        beyond = downdate(S, 3 * D, W, k, D, z, 0.5, 1.25, 1.0)
        add_multiple(S, D, 3.0, W, k, D)
        write(W, k, S, 2 * D, D)
        return news, dot(S, 0, W, k, D, z), beyond

    rng = np.random.default_rng(D)
    wide, size = -(-D // 16) * 16, D * (D + 1) // 2
    S = rng.standard_normal(3 * D + size + 1).astype(np.float32)
    W = np.full(3 * wide + 16, np.nan, np.float32)
    if products is least_squares_scalar:
        W[:] = 0.0
    x, w, P, last = S[:D].copy(), S[D : 2 * D].copy(), unpacked(S[3 * D : -1]), S[-1]
    news, product, beyond = run(S, W, D, wide)
    phi = np.clip(x, -1, 1)
    k = P @ phi
    near = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose([news, product], [phi @ k, x @ k], **near)
    np.testing.assert_allclose(S[D : 2 * D], w + 3 * k, **near)
    np.testing.assert_allclose(S[2 * D : 3 * D], k, **near)
    np.testing.assert_allclose(unpacked(S[3 * D : -1]), 1.25 * (P - 0.5 * np.outer(k, k)), **near)
    assert S[-1] == last
    assert beyond or unpacked(S[3 * D : -1]).diagonal().max() <= 1.0


def hash_at(width: int, root: Path) -> str:
    """Return the hash of a stream's columns with vectors of a width."""
    command = [sys.executable, "-m", "tests.unit.online_stream", str(width)]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    return done.stdout


@pytest.mark.parametrize(
    "width", [4, pytest.param(8, marks=pytest.mark.exhaustive)] if LANES > 8 else [4]
)
def test_every_bit_is_the_same_at_every_width(width: int, root: Path) -> None:
    if width >= LANES:
        pytest.skip(f"needs a processor with vectors of more than {width} floats")
    assert lanes(target()[1]) == LANES
    assert hash_at(width, root) == hash_at(LANES, root)
