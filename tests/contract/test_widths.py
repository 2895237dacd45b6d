"""Run the contract suite with vectors of every width, and move streams between widths."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamlstm import Engine
from streamlstm.kernels.simd import LANES, lanes

from ..exhaustive import exhaustive, short
from .carried import STREAMS, observations
from .forced import CHOSEN, FEATURES, FEW
from .models import MODELS

TURN = 5  # observations of each stream before it moves on


@pytest.mark.parametrize(
    ("width", "few", "least"),
    [
        (4, ["few"], 40),
        # At the machine's own width the suite runs by itself.
        *(exhaustive(width, [], 200) for width in FEATURES if 4 < width < LANES),
    ],
)
def test_the_contract_holds_at_every_width(
    width: int, few: list[str], least: int, root: Path
) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.contract.forced", str(width), *few],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = re.search(r"^(\d+) passed in", ran.stdout, re.MULTILINE)
    assert passed is not None, ran.stdout
    assert int(passed[1]) >= least


@pytest.mark.parametrize(
    ("widths", "names"),
    [
        short((LANES, 4 if LANES > 4 else 8, LANES), FEW),
        exhaustive((16, 8, 4, 8, 16), CHOSEN),
    ],
)
def test_streams_move_between_machines_of_every_width(
    widths: tuple[int, ...], names: tuple[str, ...], root: Path, tmp_path: Path
) -> None:
    for turn, width in enumerate(widths):
        first, last = TURN * turn + 1, TURN * (turn + 1)
        options = [str(width), str(tmp_path), str(first), str(last), *names]
        ran = subprocess.run(
            [sys.executable, "-m", "tests.contract.carried", *options],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    for name in names:
        model = MODELS[name]
        stayed, moved = Engine(model, threads=1), Engine(model, threads=1)
        for n, x in enumerate(observations(model.input_size, model.categories, 1, last), start=1):
            stayed.step_many(STREAMS, x, seqs=[n] * len(STREAMS), times=[0.5 * n] * len(STREAMS))
        for stream, blob in pickle.loads((tmp_path / f"{name}.exports").read_bytes()).items():
            moved.import_stream(stream, blob)
            rows = [engine._table.rows[engine._table.slot(stream)] for engine in (stayed, moved)]
            # Sums of some layers are added in another order (docs/decisions).
            np.testing.assert_allclose(rows[1], rows[0], atol=1e-5)
            assert moved.last_seq(stream) == last
            assert moved._table.time[moved._table.slot(stream)] == 0.5 * last


@pytest.mark.parametrize(
    ("features", "width"),
    [
        ("", 4),
        ("+neon,+fp-armv8", 4),
        ("+sse2,+avx,-avx2,-avx512f", 4),
        ("+avx2,-fma", 4),
        ("+avx2,+fma,-avx512f", 8),
        ("+avx2,+avx512f,+fma", 16),
    ],
)
def test_vectors_are_as_wide_as_what_the_processor_has(features: str, width: int) -> None:
    assert lanes(features) == width
