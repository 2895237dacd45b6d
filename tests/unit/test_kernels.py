"""The tile of the matrix product, the cache key, the plan, compiling and its progress."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numba import njit

from streamlstm.backends.cpu import CpuBackend
from streamlstm.backends.packing import pack_panels
from streamlstm.backends.plan import compile_plan
from streamlstm.kernels import cache, compile, layout, recurrent_single, step
from streamlstm.kernels.matmul import product_tile
from streamlstm.kernels.simd import LANES

from ..contract.models import MODELS


@pytest.mark.parametrize(
    ("rows", "columns", "panels", "chains"),
    [(1, 1, 1, 1), (6, 2, 1, 1), (2, 3, 1, 1), (1, 4, 2, 1), (3, 1, 1, 4), (1, 2, 2, 2)],
)
@pytest.mark.parametrize("K", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("K1", [0, 3])
def test_tile_is_the_matrix_product(
    rows: int, columns: int, panels: int, chains: int, K: int, K1: int
) -> None:
    phase = [(n, n) for n in range(columns)]
    tile = product_tile(rows, [phase, phase] if K1 else [phase], panels, chains)

    @njit
    def run(A, B, stride, W, width, panel, K, K1, Z):
        tile(A, 0, B, 1, stride, W, 0, width, width, panel, K, K1, Z, 0, width)

    rng = np.random.default_rng(K)
    width = columns * LANES
    A = rng.standard_normal((rows, 20)).astype(np.float32)
    B = rng.standard_normal((rows, 20)).astype(np.float32)
    weight = rng.standard_normal((panels * width, K + K1)).astype(np.float32)
    bias = rng.standard_normal(panels * width).astype(np.float32)
    Z = np.full((panels, rows, width), np.nan, np.float32)
    W = pack_panels(weight, bias, width)
    run(A.ravel(), B.ravel(), 20, W, width, (K + K1 + 1) * width, K, K1, Z.ravel())
    inputs = np.concatenate([A[:, :K], B[:, 1 : 1 + K1]], axis=1).astype(np.float64)
    expected = inputs @ weight.T.astype(np.float64) + bias
    got = Z.transpose(1, 0, 2).reshape(rows, -1)
    assert np.max(np.abs(got - expected)) < 1e-5


def test_no_machine_code_is_made_of_what_only_compiled_code_calls() -> None:
    @cache.internal
    def twice(x):
        return 2 * x

    @njit
    def four_times(x):
        return twice(twice(x))

    assert four_times(3) == 12
    (inner,), (outer,) = twice.overloads.values(), four_times.overloads.values()
    engine = outer.library.codegen._engine
    assert engine.is_symbol_defined(outer.fndesc.mangled_name)
    assert not engine.is_symbol_defined(inner.fndesc.mangled_name)


def test_every_part_of_the_weight_block_starts_on_a_cache_line() -> None:
    for model in MODELS.values():
        plan = compile_plan(model, LANES, sequences=True)
        assert plan.weights.ctypes.data % 64 == 0
        first, step = layout.HEADER, layout.ROW
        if plan.program[layout.HEADER + layout.KIND] == layout.WHOLE_WINDOW:
            first += plan.program[layout.HEADER + layout.STAGES]
            step = layout.STAGE_SIZE
        for n in range(len(model.layers)):
            assert plan.program[first + n * step + layout.WEIGHTS] % layout.PAD == 0


def test_no_two_kinds_of_layers_have_one_number() -> None:
    modules = {m for m in vars(step).values() if isinstance(m, ModuleType)} - {recurrent_single}
    tables = [getattr(m, "LAYERS", None) for m in modules]
    assert sum(len(table) for table in tables if isinstance(table, dict)) == len(step.LAYERS)


@pytest.mark.parametrize("B", [1, 2 * layout.GROUP + 1])
def test_the_scratch_is_never_written_beyond_its_end(B: int) -> None:
    for model in MODELS.values():
        backend = CpuBackend(model, threads=1)
        size = step.scratch_size(backend._plan.program)
        memory = np.full(size + 80, 7.0, np.float32)
        start = -memory.ctypes.data % 64 // 4
        backend._task[layout.TASK_SCRATCH] = memory[start:].ctypes.data
        rows = np.full((B + 2, backend.row_size), 7.0, np.float32)
        rows[1:-1] = 0
        backend.step_block(
            rows,
            np.arange(1, B + 1),
            np.ones((B, model.input_size), np.float32),
            np.empty((B, model.result_size), np.float32),
        )
        assert (memory[:start] == 7).all()
        assert (memory[start + size :] == 7).all()
        assert (rows[0] == 7).all()
        assert (rows[-1] == 7).all()


def test_the_cache_key_changes_with_any_kernel_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(cache.__file__).parent
    for source in folder.glob("*.py"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    for place in (folder, tmp_path):  # kernels edited there; kernels that stand elsewhere
        monkeypatch.setattr(cache, "_HERE", tmp_path)
        cache.sources_hash.cache_clear()
        before = cache.sources_hash(place)
        with (tmp_path / "activations.py").open("a") as file:
            file.write("# edited\n")
        cache.sources_hash.cache_clear()
        after = cache.sources_hash(place)
        assert before != after
    cache.sources_hash.cache_clear()


def test_a_second_process_finds_the_kernels_on_disk() -> None:
    compile.prepare()
    program = (
        "from streamlstm.kernels import compile, id_lookup, step\n"
        "assert compile.is_warm()\n"
        "compile.prepare()\n"
        "for kernel in (step.step_block, step.step_parallel, *id_lookup.SIGNATURES):\n"
        "    assert kernel.stats.cache_hits and not kernel.stats.cache_misses, kernel.stats\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_prepare_reports_its_progress() -> None:
    seen: list[tuple[int, int, str]] = []
    compile.prepare(lambda done, total, name: seen.append((done, total, name)))
    assert [done for done, _, _ in seen] == list(range(len(seen)))
    assert seen[-1] == (len(seen) - 1, len(seen) - 1, "done")
