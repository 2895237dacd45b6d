"""What benchmarks.kernels compares with, and how it says it."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import kernels
from benchmarks.rtneural import rtneural_run

H, F = 16, 3


@pytest.mark.parametrize("name", [name for name in kernels.MAKERS if name != "njit"])
@pytest.mark.parametrize("B", [1, 5])
def test_a_peer_takes_the_same_steps(name: str, B: int) -> None:
    model = kernels._model(H, F)
    X = np.random.default_rng(1).standard_normal((B, F)).astype(np.float32)
    peer = kernels.MAKERS[name](model.layers[0], model.weights[0], X)
    if peer is None:
        pytest.skip(f"needs {name}: pip install -e '.[bench]'")
    run = kernels.compiled(model, X)
    for _ in range(3):
        theirs, ours = peer()[0].copy(), run(1)
        np.testing.assert_allclose(theirs, ours, atol=1e-5)
    assert np.abs(theirs).max() > 0.05


@pytest.mark.parametrize("B", [1, kernels.BLOCK])
def test_every_peer_has_a_ratio_and_a_target_for_every_size(B: int) -> None:
    """Each peer, in turn, is exactly twice as slow."""
    ratios = kernels.Ratios()
    for units, inputs in kernels.SIZES[:-1]:  # the largest takes a second to check
        for precision in kernels._precisions(units, B):
            own = dict.fromkeys([precision, f"engine {precision}"], 1.0)
            theirs = dict.fromkeys([*kernels.PEERS, kernels.NARROW], 2.0)
            times = own | theirs | {"sgemm rate": 1.0}
            row = kernels._row(B, units, inputs, precision, times, ratios)
            assert {peer for peer in kernels.PEERS if f"times {peer}" in row} == set(kernels.PEERS)
            for peer in kernels.PEERS:
                name = f"{peer} B={B} H={units} {precision}"
                assert ratios.measured[name] == 2.0
                assert ratios.targets[name] >= (1.0 if precision == "float32" else 1.15)


def test_what_rtneural_needs_is_said(tmp_path: Path) -> None:
    model = kernels._model(H, F)
    given = tmp_path, model.layers[0], model.weights[0], np.zeros((1, F), np.float32)
    with pytest.raises(SystemExit, match=f"{tmp_path}: expected a clone of RTNeural, with RTNeu"):
        rtneural_run(*given)
    (tmp_path / "RTNeural/lstm").mkdir(parents=True)
    (tmp_path / "RTNeural/lstm/lstm.h").write_text("#error not a layer\n")
    (tmp_path / "modules/Eigen/Eigen").mkdir(parents=True)
    (tmp_path / "modules/Eigen/Eigen/Dense").touch()
    with pytest.raises(SystemExit, match=r"not a layer|needs a C\+\+ compiler"):
        rtneural_run(*given)
