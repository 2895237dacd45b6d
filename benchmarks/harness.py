"""Shared functions of the benchmarks: interleaved timing, and results as a table and as JSON."""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

Row = dict[str, str | float | None]


def number(value: str | float | None) -> float:
    """Return what a row has where it has a number."""
    assert isinstance(value, int | float), value
    return float(value)


def interleaved(
    cases: Mapping[str, Callable[[], object]], rounds: int = 11, seconds: float = 0.02
) -> dict[str, float]:
    """Time all cases in interleaved rounds, and return the median of each.

    Parameters
    ----------
    cases : mapping of str to callable
        The functions to time. In each round each of them is called as often as ``seconds`` allow,
        at least once, so that a slow moment of the machine affects all of them.
    rounds : int
    seconds : float

    Returns
    -------
    dict of str to float
        Seconds a call.
    """
    repeats = {}
    for name, call in cases.items():
        call()
        start = time.perf_counter()
        call()
        repeats[name] = max(1, round(seconds / max(time.perf_counter() - start, 1e-9)))
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, call in cases.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            times[name].append((time.perf_counter() - start) / repeats[name])
    return {name: statistics.median(measured) for name, measured in times.items()}


def machine(*more: str) -> dict[str, str | int]:
    """Describe the machine: processor, vector width, cores, versions, of ``more`` packages too."""
    from streamlstm.kernels.simd import LANES

    packages = {}
    for name in ("numba", "numpy", "torch", "onnxruntime", *more):
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = "not installed"
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "float32 lanes": LANES,
        "python": platform.python_version(),
        **packages,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def steps(items: Sequence[Any], what: str) -> Any:
    """Iterate over ``items``, with a progress bar in a terminal."""
    console = Console(stderr=True)
    return track(items, what, console=console, disable=not console.is_terminal, transient=True)


def parser(doc: str) -> argparse.ArgumentParser:
    """Return an argument parser with the options of all benchmarks."""
    parser = argparse.ArgumentParser(description=doc.split("\n", 1)[0])
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to this file"
    )
    return parser


def report(
    bench: str,
    rows: list[Row],
    ratios: Mapping[str, float],
    path: Path | None,
    note: str = "",
    targets: Mapping[str, float] | None = None,
    where: Mapping[str, str | int] | None = None,
) -> None:
    """Print rows as a table and, if a path is given, write all results as JSON.

    A row may lack columns that another has. ``targets`` holds the target values of some of the
    ratios; ``where`` describes the machine, by default this one.
    """
    where = where or machine()
    table = Table(title=f"{bench} on {where['processor']}, {where['cores']} cores", box=None)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    for column in columns:
        first = next(row[column] for row in rows if column in row)
        table.add_column(column, justify="left" if isinstance(first, str) else "right")
    for row in rows:
        table.add_row(*(_show(row.get(column)) for column in columns))
    # A line that a narrow terminal wraps is readable; a truncated number is not.
    Console(width=max(160, Console().width)).print(table)
    if note:
        print(note)
    if path is not None:
        result = {"bench": bench, "machine": dict(where), "rows": rows, "ratios": dict(ratios)}
        if targets:
            result["targets"] = dict(targets)
        path.write_text(json.dumps(result, indent=1) + "\n")


def _show(value: str | float | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.3g}" if value < 100 else f"{value:.0f}"
