"""Writes the results of the last benchmarks into README.md and pages of docs.

    python -m benchmarks.readme

Reads `benchmarks/results/NAME.json`, which each benchmark writes with `--json`, and replaces the
text between two markers. README.md gets the most important results, docs/figures.md all except the
counts of instructions, which serve for comparison only, and those of the online stage, of
forecasts and of calendars, which docs/online.md and docs/training.md have.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- figures: made by `make figures` -->"
END = "<!-- end of figures -->"
# The results in each file, and their columns if not all.
SHORT: dict[str, tuple[str, ...]] = {
    "kernels": ("streams", "H", "weights", "step us", "times PyTorch", "times ONNX Runtime"),
    "serving": ("question", "unit", "ours", "against", "ratio"),
}
_PEERS = ("RTNeural", "TensorFlow Lite", "OpenVINO", "ONNX Runtime", "PyTorch", "njit")
_KERNELS = ("streams", "H", "F", "weights", "step us", "of sgemm", "engine us")
ALL: dict[str, tuple[str, ...]] = dict.fromkeys(
    (
        *("kernels", "widths", "precision", "streams", "windows", "sequences"),
        *("startup", "layers", "training", "tables"),
        *("serving", "fairness", "durability", "torture", "fire", "soak"),
        *("fleet", "fleet_torture", "fleet_simulation"),
    ),
    (),
) | {"kernels": (*_KERNELS, *(f"times {peer}" for peer in _PEERS), "largest error")}
_INTERVALS = ("half", "method", "ahead", "series", "held well", "lowest", "highest", "winkler")
ONLINE: dict[str, tuple[str, ...]] = {
    "stage_cost": (),
    "online": (),
    "intervals": (*_INTERVALS, "worst winkler"),
    **dict.fromkeys(("missing", "false_alarms", "faults", "nab"), ()),
}
_BASELINES = ("persistence", "season", "autoregression")
TRAINING: dict[str, tuple[str, ...]] = {
    "forecast_commands": ("series", "values scored", "model", *_BASELINES),
    "forecast_series": (),
    "forecast_informer": ("hours", "model", "persistence", "Informer", "LSTMa"),
    "calendars": (),
}
FILES: dict[str, dict[str, tuple[str, ...]]] = {
    "README.md": SHORT,
    "docs/figures.md": ALL,
    "docs/online.md": ONLINE,
    "docs/training.md": TRAINING,
    "docs/fleet.md": {"fleet_capacity": (), "fleet_gateway": ()},
    "docs/fleet-ray.md": {"fleet_ray": ()},
    "docs/web.md": {"page": ()},
    "docs/bridges.md": {"bridges": ()},
}


def render(result: dict[str, Any], columns: Sequence[str] = ()) -> str:
    """Render one benchmark as Markdown: a heading with the machine, and a table."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {value}" for name, value in machine.items() if name in _PACKAGES)
    found = list(dict.fromkeys(name for row in result["rows"] for name in row))
    columns = [name for name in columns if name in found] or found
    lines = [
        f"**{result['bench']}** on {machine['processor']}, {machine['cores']} cores ({versions})",
        "",
        _row(columns),
        _row("---" if _is_text(result["rows"], name) else "---:" for name in columns),
        *(_row(_cell(row.get(name)) for name in columns) for row in result["rows"]),
    ]
    return "\n".join(lines)


_PACKAGES = ("python", "numba", "numpy", "torch", "onnxruntime", "openvino", "ai-edge-litert")


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _is_text(rows: list[dict[str, Any]], name: str) -> bool:
    return any(isinstance(row.get(name), str) for row in rows)


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def insert(text: str, figures: str) -> str:
    """Replace the text between the markers by `figures`.

    Raises
    ------
    ValueError
        If a marker is missing, or they are in the wrong order.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected the lines {BEGIN!r} and {END!r} in the text")
    return f"{head}{BEGIN}\n\n{figures}\n\n{END}{tail}"


def write(path: Path, tables: Mapping[str, Sequence[str]], results: Path) -> list[str]:
    """Write the tables that have results into a file; return their names."""
    found = {name: results / f"{name}.json" for name in tables}
    found = {name: result for name, result in found.items() if result.exists()}
    figures = [
        render(json.loads(result.read_text()), tables[name]) for name, result in found.items()
    ]
    path.write_text(insert(path.read_text(), "\n\n".join(figures)))
    return list(found)


def main() -> None:
    """Render all results."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    if not any((options.results / f"{name}.json").exists() for name in ALL):
        parser.error(f"no results in {options.results}; run `make bench` first")
    for file, tables in FILES.items():
        print(f"{file}: {', '.join(write(ROOT / file, tables, options.results))}")


if __name__ == "__main__":
    main()
