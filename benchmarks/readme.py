"""Write the results of the last `make bench` into README.md, between its two markers.

    python -m benchmarks.readme

Reads `benchmarks/results/NAME.json`, as every benchmark writes it with `--json`. Counts of
instructions stay there: they are to be compared, not read.
"""

import argparse
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- figures: made by `make figures` -->"
END = "<!-- end of figures -->"
TABLES = ("kernels", "streams", "startup", "layers", "training", "serving")


def render(result: dict[str, Any]) -> str:
    """Write one benchmark as Markdown: a heading, where it ran, its table."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {value}" for name, value in machine.items() if name in _PACKAGES)
    columns = list(dict.fromkeys(name for row in result["rows"] for name in row))
    lines = [
        f"**{result['bench']}** on {machine['processor']}, {machine['cores']} cores ({versions})",
        "",
        _row(columns),
        _row("---" if _is_text(result["rows"], name) else "---:" for name in columns),
        *(_row(_cell(row.get(name)) for name in columns) for row in result["rows"]),
    ]
    return "\n".join(lines)


_PACKAGES = ("python", "numba", "numpy", "torch", "onnxruntime")


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _is_text(rows: list[dict[str, Any]], name: str) -> bool:
    return any(isinstance(row.get(name), str) for row in rows)


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def insert(text: str, figures: str) -> str:
    """Put `figures` between the markers of a README's text.

    Raises
    ------
    ValueError
        If the text does not have both markers, once each and in order.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected the lines {BEGIN!r} and {END!r} in the README")
    return f"{head}{BEGIN}\n\n{figures}\n\n{END}{tail}"


def main() -> None:
    """Render all results there are."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    options = parser.parse_args()
    paths = (options.results / f"{name}.json" for name in TABLES)
    found = [path for path in paths if path.exists()]
    if not found:
        parser.error(f"no results in {options.results}; run `make bench` first")
    figures = "\n\n".join(render(json.loads(path.read_text())) for path in found)
    options.readme.write_text(insert(options.readme.read_text(), figures))
    print(f"{options.readme}: {', '.join(path.stem for path in found)}")


if __name__ == "__main__":
    main()
