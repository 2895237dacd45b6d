"""The tile of the matrix product, the cache key and the plan, each by itself."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from streamlstm.kernels import cache, compile, layout, step
from streamlstm.kernels.matmul import product_tile
from streamlstm.kernels.simd import LANES
from streamlstm.packing import pack_panels
from streamlstm.plan import compile_plan

from ..contract.models import MODELS


@pytest.mark.parametrize(
    ("rows", "columns", "panels", "chains"),
    [(1, 1, 1, 1), (6, 2, 1, 1), (2, 3, 1, 1), (1, 4, 2, 1), (3, 1, 1, 4), (1, 2, 2, 2)],
)
@pytest.mark.parametrize("K", [1, 2, 3, 4, 5, 9])
def test_tile_is_the_matrix_product(
    rows: int, columns: int, panels: int, chains: int, K: int
) -> None:
    tile = product_tile(rows, [[(n, n) for n in range(columns)]], panels, chains)

    @njit
    def run(A, stride, W, width, panel, K, Z):
        tile(A, 0, stride, W, 0, width, width, panel, K, 0, Z, 0, width)

    rng = np.random.default_rng(K)
    width = columns * LANES
    A = rng.standard_normal((rows, K + 3)).astype(np.float32)
    weight = rng.standard_normal((panels * width, K)).astype(np.float32)
    bias = rng.standard_normal(panels * width).astype(np.float32)
    Z = np.full((panels, rows, width), np.nan, np.float32)
    W = pack_panels(weight, bias, width)
    run(A.ravel(), K + 3, W, width, (K + 1) * width, K, Z.ravel())
    expected = A[:, :K].astype(np.float64) @ weight.T.astype(np.float64) + bias
    got = Z.transpose(1, 0, 2).reshape(rows, -1)
    assert np.max(np.abs(got - expected)) < 1e-5


def test_every_part_of_the_weight_block_starts_on_a_cache_line() -> None:
    for model in MODELS.values():
        plan = compile_plan(model, LANES)
        assert plan.weights.ctypes.data % 64 == 0
        rows = plan.program[layout.HEADER :]
        for n in range(len(model.layers)):
            assert rows[n * layout.ROW + layout.WEIGHTS] % layout.PAD == 0


def test_the_scratch_is_never_written_beyond_its_end() -> None:
    for model in MODELS.values():
        plan = compile_plan(model, LANES)
        size = step.scratch_size(plan.program)
        guarded = np.full((1, size + 64), 7.0, np.float32)
        B = 2 * layout.GROUP + 1
        rows = np.full((B + 2) * plan.row_size, 7.0, np.float32)
        rows[plan.row_size : -plan.row_size or None] = 0
        step.step_block(
            plan.weights,
            plan.program,
            rows,
            np.arange(1, B + 1),
            np.ones((B, model.input_size), np.float32),
            np.empty((B, model.output_size), np.float32),
            guarded,
        )
        assert (guarded[0, size:] == 7).all()
        if plan.row_size:
            assert (rows[: plan.row_size] == 7).all()
            assert (rows[-plan.row_size :] == 7).all()


def test_the_cache_key_changes_with_any_kernel_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(cache.__file__).parent
    for source in folder.glob("*.py"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "cache.py"))
    cache.sources_hash.cache_clear()
    before = cache.sources_hash()
    with (tmp_path / "activations.py").open("a") as file:
        file.write("# edited\n")
    cache.sources_hash.cache_clear()
    after = cache.sources_hash()
    cache.sources_hash.cache_clear()
    assert before != after


def test_a_second_process_finds_the_kernels_on_disk() -> None:
    compile.prepare()
    program = (
        "from streamlstm.kernels import compile, idblocks, step\n"
        "assert compile.is_warm()\n"
        "compile.prepare()\n"
        "for kernel in (step.step_block, step.step_parallel, *idblocks.SIGNATURES):\n"
        "    assert kernel.stats.cache_hits and not kernel.stats.cache_misses, kernel.stats\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_prepare_reports_its_progress() -> None:
    seen: list[tuple[int, int, str]] = []
    compile.prepare(lambda done, total, name: seen.append((done, total, name)))
    assert [done for done, _, _ in seen] == list(range(len(seen)))
    assert seen[-1] == (len(seen) - 1, len(seen) - 1, "done")
