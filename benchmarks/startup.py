"""How long until the first prediction? Processes that start fresh, against the targets.

    python -m benchmarks.startup [--json FILE]

Every value is the time from the start of a new process, including that of Python, to the event in
question. A cold engine or worker finds no compiled kernels: its cache is an empty folder, and the
package a copy without any. The warm ones after it use that cache. An engine is ready when its first
prediction equals the reference's, a worker when that of its first client does.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from streamlstm import LSTM, Dense, Engine, Model
from streamlstm.network.layers import Layer

from .harness import Row, parser, report, steps
from .windows import random_weights

ROOT = Path(__file__).parents[1]
IMPORTS = 9  # processes for each figure
COLD, WARM = 2, 5  # and so many warm ones after each cold one

F, H = 8, 64
MODELS: dict[str, list[Layer]] = {
    "LSTM and Dense": [LSTM(F, H), Dense(H, 1)],
    "LSTM with every option": [
        LSTM(
            F,
            H,
            projection_size=H // 2,
            peephole=True,
            layer_norm=True,
            coupled=True,
            gate_clip=5.0,
            cell_clip=5.0,
            projection_clip=5.0,
            initial_state=True,
            candidate_activation="hard_sigmoid",
        ),
        Dense(H // 2, 1),
    ],
}
READY = """
import sys
import streamlstm

model = streamlstm.Model.load(sys.argv[1])
y = streamlstm.Engine(model).step("pump-7", [0.5] * model.input_size)
"""
SERVING = """
import atexit
import sys
from benchmarks.live.processes import ANY_PORTS, Process

worker = Process("worker", "streamlstm", "serve", sys.argv[1], *ANY_PORTS)
atexit.register(worker.stop)
import streamlstm

model = streamlstm.Model.load(sys.argv[1])
y = streamlstm.Client(worker.endpoints["router"]).step("pump-7", [0.5] * model.input_size)
"""
# What gets ready: the name of its model, and within how many seconds if nothing is compiled.
PROGRAMS = {
    "LSTM and Dense": (READY, "LSTM and Dense", 20.0),
    "LSTM with every option": (READY, "LSTM with every option", 20.0),
    "a worker, LSTM and Dense": (SERVING, "LSTM and Dense", 10.0),
}
NOW = "import time; print(time.monotonic(), *{})"


class Result(NamedTuple):
    """A measured value and its target."""

    question: str
    measured: float  # seconds
    target: float | None = None

    def row(self) -> Row:
        """Return the row of the table."""
        return {
            "question": self.question,
            "measured s": self.measured,
            "target s": None if self.target is None else f"< {self.target:g}",
            "of target": None if self.target is None else self.measured / self.target,
        }


def started(
    program: str, *arguments: str, cache: str = "", result: str = "()", folder: Path = ROOT
) -> list[float]:
    """Run a program in a new process and return its seconds and the numbers in ``result``.

    It finds the package in ``folder``, and else what is here.
    """
    chosen = {"PYTHONPATH": str(ROOT)} | ({"NUMBA_CACHE_DIR": cache} if cache else {})
    command = [sys.executable, "-c", f"{program}\n{NOW.format(result)}", *arguments]
    start = time.monotonic()
    shown = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | chosen,
        capture_output=True,
        text=True,
        check=False,
    )
    if shown.returncode:
        raise SystemExit(f"{program}\nfailed:\n{shown.stderr}")
    end, *numbers = map(float, shown.stdout.split())
    return [end - start, *numbers]


def imports() -> list[Result]:
    """Measure the times of imports."""
    programs = {
        "Python by itself": "pass",
        "import streamlstm": "import streamlstm",
        "import streamlstm; Engine, Model": "from streamlstm import Engine, Model",
    }
    times: dict[str, list[float]] = {question: [] for question in programs}
    for _ in range(IMPORTS):
        for question, program in programs.items():
            times[question] += started(program)
    return [
        Result(question, statistics.median(measured), 0.4 if "import" in question else None)
        for question, measured in times.items()
    ]


def ready(name: str) -> list[Result]:
    """Measure the time to the first prediction, with a cold and a warm cache."""
    program, of_model, target = PROGRAMS[name]
    layers = MODELS[of_model]
    model = Model(layers, random_weights(layers, H))
    expected = Engine(model, 1, backend="reference").step("pump-7", [0.5] * F)
    cold: list[float] = []
    warm: list[float] = []
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        path = folder / "model.safetensors"
        model.save(path)
        compiled = shutil.ignore_patterns("*.nbi", "*.nbc")
        shutil.copytree(ROOT / "streamlstm", folder / "streamlstm", ignore=compiled)
        for turn in range(COLD):
            cache = str(folder / f"cache-{turn}")
            for times, count in ((cold, 1), (warm, WARM)):
                for _ in range(count):
                    seconds, y = started(program, str(path), cache=cache, result="y", folder=folder)
                    if abs(y - expected[0]) > 1e-5:
                        raise SystemExit(f"{name}: expected {expected[0]}, got {y}")
                    times.append(seconds)
    return [
        Result(f"{name}, kernels compiled: ready", statistics.median(warm), 1.5),
        Result(f"{name}, nothing compiled: ready", statistics.median(cold), target),
    ]


def main() -> None:
    """Measure everything and print the table."""
    arguments = parser(__doc__ or "").parse_args()
    results = imports() + [
        result for name in steps(list(PROGRAMS), "start-up") for result in ready(name)
    ]
    ratios = {a.question: a.measured / a.target for a in results if a.target is not None}
    targets = dict.fromkeys(ratios, 1.0)  # or less
    note = (
        f"Medians of {IMPORTS} processes for imports, of {COLD} with nothing compiled, and of "
        f"{COLD * WARM} with kernels compiled. Python's own start is in all of them."
    )
    report("startup", [result.row() for result in results], ratios, arguments.json, note, targets)


if __name__ == "__main__":
    main()
