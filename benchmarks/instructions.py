"""How many instructions does a step take? Counted by valgrind, equal on every machine.

    python -m benchmarks.instructions [--json FILE] [--check FILE]

Times vary with the machine and its load, counts do not: they show effects of an edit that no timing
would show. Everything is compiled for the same processor, with vectors of 8 lanes, which valgrind
supports. Compilation and start-up are not counted: the count is the difference of two runs of
different length. `--check` fails if a count differs from the recorded one.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamlstm import LSTM
from streamlstm.network.layers import Layer

from .harness import Row, machine, parser, report
from .kernels import BLOCK, compiled
from .layers import LSTM_PLAIN, POINTWISE, PRODUCTS, multiply_adds, random_model

LANES = 8
TARGET = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"}
COUNT, PER = "instructions a step", "per vector multiply-add"
TOLERANCE = 0.02
STEPS = {1: 100, BLOCK: 4}  # of the shorter run; the longer one takes three times as many

# valgrind dumps its counts whenever the program enters this function of the C library, which
# nothing else calls. It would not notice a function called through ctypes.
MARK, mark = "ctermid", os.ctermid
MARKS = 3  # for each case: before the shorter run, between the two, and after the longer one


class Case(NamedTuple):
    """A layer and a number of streams."""

    name: str
    layer: Layer
    B: int


CASES = [
    *(Case(f"LSTM, H = {H}", LSTM(F, H), 1) for H, F in ((16, 8), (32, 8), (64, 8), (128, 16))),
    Case("LSTM, H = 64", LSTM(8, 64), BLOCK),
    *(
        Case(name, layer, B)
        for name, layer in ({"plain LSTM": LSTM_PLAIN} | PRODUCTS | POINTWISE).items()
        for B in (1, BLOCK)
    ),
]


def step_all() -> None:
    """Step every case in two runs, and mark their ends; this program runs under valgrind."""
    for case in CASES:
        shape = (case.B, case.layer.input_size)
        X = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        run = compiled(random_model(case.layer), X)
        n = STEPS[case.B]
        run(n)
        mark()
        run(n)
        mark()
        run(3 * n)
        mark()


def count(valgrind: str) -> list[float]:
    """Return the instructions of one step of every case."""
    program = [sys.executable, "-c", "from benchmarks.instructions import step_all; step_all()"]
    environment = os.environ | TARGET | {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    subprocess.run(program, env=environment, check=True)  # compiles
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counts"
        options = ["--tool=callgrind", f"--callgrind-out-file={out}", f"--dump-before={MARK}"]
        ran = subprocess.run(
            [valgrind, *options, *program],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        files = [Path(f"{out}.{n + 1}") for n in range(MARKS * len(CASES))]
        if ran.returncode or not all(file.exists() for file in files):
            raise SystemExit(f"valgrind failed:\n{ran.stderr}")
        dumps = [total(file.read_text()) for file in files]
    return [
        (dumps[MARKS * n + 2] - dumps[MARKS * n + 1]) / (2 * STEPS[case.B])
        for n, case in enumerate(CASES)
    ]


def total(dump: str) -> int:
    """Return the count of a dump, which starts at the mark before it."""
    found = re.search(r"^summary: (\d+)$", dump, re.MULTILINE)
    if found is None:
        raise SystemExit("valgrind: expected a dump with a line 'summary', found none in it")
    return int(found[1])


def table(counts: Sequence[float]) -> list[Row]:
    """Return the counts as rows, relative to the multiply-adds where there are any."""
    rows: list[Row] = []
    for case, counted in zip(CASES, counts, strict=True):
        products = multiply_adds(case.layer) * case.B / LANES
        rows.append(
            {
                "layer": case.name,
                "streams": str(case.B),
                COUNT: counted,
                PER: counted / products if products else None,
            }
        )
    return rows


def differences(rows: Sequence[Row], recorded: Sequence[Row]) -> list[str]:
    """Describe every count that differs from the recorded one."""
    now, before = ({_label(row): row[COUNT] for row in every} for every in (rows, recorded))
    found = [f"{name}: not recorded" for name in now if name not in before]
    found += [f"{name}: recorded, not counted" for name in before if name not in now]
    for name in now.keys() & before.keys():
        ours, theirs = float(now[name] or 0), float(before[name] or 0)
        if abs(ours / theirs - 1) > TOLERANCE:
            found.append(f"{name}: {theirs:.0f} recorded, now {ours:.0f}, {ours / theirs - 1:+.1%}")
    return sorted(found)


def _label(row: Row) -> str:
    return f"{row['layer']}, {row['streams']} streams"


def _arguments() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument(
        "--check", type=Path, metavar="FILE", help="fail where counts differ from those in FILE"
    )
    return options.parse_args()


def _valgrind() -> str:
    """Return the path of valgrind, or exit with the reason why nothing can be counted."""
    found = shutil.which("valgrind")
    if platform.machine() != "x86_64":
        reason = f"counts are those of an x86-64 processor, this is {platform.machine()}"
    elif found is None:
        reason = "valgrind is not installed (for example: apt-get install valgrind)"
    else:
        return found
    print(f"nothing was counted: {reason}", file=sys.stderr)
    raise SystemExit(2)


def main() -> None:
    """Count every case, print the table, and compare with the recorded counts."""
    arguments = _arguments()
    valgrind = _valgrind()
    recorded = arguments.check and json.loads(arguments.check.read_text())
    rows = table(count(valgrind))
    where = machine() | {"float32 lanes": LANES, "llvmlite": metadata.version("llvmlite")}
    ratios = {_label(row): float(row[PER] or 0) for row in rows if row[PER] is not None}
    note = f"Compiled for {TARGET['NUMBA_CPU_NAME']}, {LANES} lanes to a vector."
    report("instructions", rows, ratios, arguments.json, note, where=where)
    if recorded:
        found = differences(rows, recorded["rows"])
        for package in ("numba", "llvmlite"):
            version = recorded["machine"][package]
            if found and version != where[package]:
                found.append(f"recorded with {package} {version}, this is {where[package]}")
        if found:
            raise SystemExit("\n".join([f"\nnot as recorded in {arguments.check}:", *found]))
        print(f"As recorded in {arguments.check}, within {TOLERANCE:.0%}.")


if __name__ == "__main__":
    main()
