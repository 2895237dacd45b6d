"""What does `streamlstm predict` take for a table of a million rows? Time and memory.

    python -m benchmarks.tables [--rows N] [--json FILE]

A CSV file with a time and four numbers a row, as programs write it and as a European spreadsheet
does (decimal commas, points between thousands, day first), is predicted by an LSTM of 64 units,
without an online stage and with one that adapts, gives intervals and looks for anomalies. Each
figure is of a process of its own, from its start to its end: the median of several, after one that
compiles. Memory is the largest that was resident, with all that was imported; a row alone shows
what of it is not the table.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streamlstm import LSTM, Dense, Model, Online, Scaling

from .harness import Row, parser, report, steps

INPUTS, H = ("v0", "v1", "v2", "v3"), 64
ROUNDS = 3
STAGES = {
    "none": None,
    "adaptation, intervals, anomaly": Online(adapt="mix", intervals=(0.5, 0.9), anomaly=True),
}
TARGETS = {
    **{f"seconds, stage {stage}": 2.0 for stage in STAGES},
    **{f"MB, stage {stage}": 300.0 for stage in STAGES},
}


def scaling(mean: float, scale: float, size: int) -> Scaling:
    """Return the same scaling for every column."""
    return Scaling(np.full(size, mean, np.float32), np.full(size, scale, np.float32))


def model(stage: Online | None) -> Model:
    """Return a model with weights at random."""
    rng = np.random.default_rng(0)
    layers = [LSTM(len(INPUTS), H), Dense(H, 1)]
    weights = [
        {name: 0.2 * rng.standard_normal(shape) for name, shape in layer.parameters().items()}
        for layer in layers
    ]
    return Model(
        layers,
        weights,
        inputs=INPUTS,
        outputs=("v0",),
        input_scaling=scaling(1234, 10, len(INPUTS)),
        output_scaling=scaling(0, 0.1, 1),
        skip=(0,),
        online=stage,
    )


def write(folder: Path, rows: int) -> dict[str, Path]:
    """Write the table in both notations; return the files by their names."""
    rng = np.random.default_rng(0)
    values = 1234 + 0.1 * np.cumsum(rng.standard_normal((rows, len(INPUTS))), axis=0)
    times = np.datetime64("2024-01-13T00:00:00") + np.arange(rows) * np.timedelta64(60, "s")
    plain, european = folder / "plain.csv", folder / "european.csv"
    marks = str.maketrans(",.", ".,")
    with plain.open("w") as one, european.open("w") as other:
        one.write(",".join(("time", *INPUTS)) + "\n")
        other.write(";".join(("time", *INPUTS)) + "\n")
        for stamp, numbers in zip(times.astype(str).tolist(), values.tolist(), strict=True):
            one.write(",".join((stamp, *(f"{x:.3f}" for x in numbers))) + "\n")
            cells = (f"{x:,.3f}".translate(marks) for x in numbers)
            day = f"{stamp[8:10]}.{stamp[5:7]}.{stamp[:4]} {stamp[11:16]}"
            other.write(";".join((day, *cells)) + "\n")
    return {"plain CSV": plain, "European CSV": european}


# A process of its own starts the command: Linux counts what the one that forked had as the child's.
RUN = """
import resource, subprocess, sys, time
began = time.perf_counter()
subprocess.run([sys.executable, "-m", "streamlstm", *sys.argv[1:]], check=True, capture_output=True)
took, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
print(took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


def predict(file: Path, table: Path, out: Path) -> list[float]:
    """Predict in a process of its own; return wall and processor time in seconds, and MB."""
    command = [sys.executable, "-c", RUN, "predict", str(file), str(table), "--out", str(out)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [float(figure) for figure in done.stdout.split()]


def measure(file: Path, table: Path, out: Path) -> Sequence[float]:
    """Return the median of several runs: seconds, seconds of processors, MB."""
    runs = [predict(file, table, out) for _ in range(ROUNDS)]
    return [statistics.median(figures) for figures in zip(*runs, strict=True)]


def main() -> None:
    """Measure every model and table, and print a row for each."""
    options = parser(__doc__ or "")
    options.add_argument("--rows", type=int, default=1_000_000)
    arguments = options.parse_args()
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tables = write(root, arguments.rows)
        for name, stage in steps(list(STAGES.items()), "tables"):
            file, out, short = root / "model.safetensors", root / "out.csv", root / "short.csv"
            model(stage).save(file)
            short.write_text("".join(tables["plain CSV"].open().readlines()[:101]))
            predict(file, short, out)  # compiles
            for what, table in ({"100 rows": short} | tables).items():
                took, worked, size = measure(file, table, out)
                rows.append(
                    {
                        "table": what,
                        "online stage": name,
                        "seconds": took,
                        "processor seconds": worked,
                        "MB": size,
                    }
                )
                if what == "plain CSV":
                    ratios[f"seconds, stage {name}"], ratios[f"MB, stage {name}"] = took, size
    note = f"A table has {arguments.rows:,} rows, {len(INPUTS)} numbers and a time each."
    report("tables", rows, ratios, arguments.json, note, targets=TARGETS)


if __name__ == "__main__":
    main()
