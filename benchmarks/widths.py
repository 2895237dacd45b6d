"""How fast is a step where vectors are narrower? Our kernels with 8 and 4 lanes, beside peers.

    python -m benchmarks.widths [--rtneural DIR] [--json FILE]

Runs benchmarks.kernels three times: with the vectors of this processor, and compiled as for one
without AVX-512, with 8 lanes of float32, and without AVX2 either, with 4. Peers and sgemm use all
that this processor has each time, so ratios are lower than on such a processor, where their vectors
are narrower too. Weights of float32: narrow products need AVX-512. Compare ratios: times are those
of three runs.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .harness import Row, machine, parser, report, steps
from .instructions import TARGET
from .kernels import FULL, PEERS

UNITS = (16, 64, 256)
# What to compile for, by the lanes of float32; None: this processor.
PROCESSORS: dict[int | None, dict[str, str]] = {
    None: {},
    8: TARGET,
    4: {"NUMBA_CPU_NAME": "ivybridge", "NUMBA_CPU_FEATURES": "+avx,+fma,+f16c"},
}
# njit's vectors would be narrower as well.
AGAINST = {"sgemm": "of sgemm"} | {peer: f"times {peer}" for peer in PEERS if peer != "njit"}


def kernels(environment: dict[str, str], rtneural: Path | None) -> dict[str, Any]:
    """Return the result of benchmarks.kernels in a process with such an environment."""
    program = [sys.executable, "-m", "benchmarks.kernels", "--units", *map(str, UNITS)]
    program += ["--rtneural", str(rtneural)] if rtneural else []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernels.json"
        program += ["--json", str(file)]
        environment = os.environ | environment
        subprocess.run(program, env=environment, stdout=subprocess.DEVNULL, check=True)
        result: dict[str, Any] = json.loads(file.read_text())
    return result


def table(result: dict[str, Any]) -> list[Row]:
    """Return the lines of one width."""
    rows: list[Row] = []
    for row in result["rows"]:
        if row["weights"] == FULL:
            same = {name: row[name] for name in ("streams", "H", "step us")}
            case = f"B={row['streams']} H={row['H']} {FULL}"
            ratios = {
                title: result["ratios"][f"{against} {case}"]
                for against, title in AGAINST.items()
                if f"{against} {case}" in result["ratios"]
            }
            rows.append({"lanes": str(result["machine"]["float32 lanes"])} | same | ratios)
    return rows


def main() -> None:
    """Measure with vectors of each width and print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--rtneural", type=Path, metavar="DIR", help="a clone of RTNeural")
    arguments = options.parse_args()
    where = machine("openvino", "ai-edge-litert")
    own = int(where["float32 lanes"])
    rows: list[Row] = []
    for lanes in steps([n for n in PROCESSORS if n is None or n < own], "widths"):
        rows += table(kernels(PROCESSORS[lanes], arguments.rtneural))
    ratios = {
        f"{against} lanes={row['lanes']} B={row['streams']} H={row['H']}": float(ratio)
        for row in rows
        for against, title in AGAINST.items()
        if isinstance(ratio := row.get(title), float)
    }
    note = f"This processor has {own} lanes; peers use them in every line."
    report("widths", rows, ratios, arguments.json, note, where=where)


if __name__ == "__main__":
    main()
