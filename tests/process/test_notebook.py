"""The notebook of the examples, run from its first cell to its last."""

import json
import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient


def outputs(cell: Any) -> str:
    """Return all that a cell shows as text."""
    return "".join(
        output.get("text", "") + str(output.get("data", {})) for output in cell.get("outputs", [])
    )


def end_workers(folder: Path) -> None:
    """End a worker that a notebook which failed has left."""
    for file in folder.glob("*/worker.json"):
        with suppress(ProcessLookupError):
            os.kill(json.loads(file.read_text())["pid"], signal.SIGTERM)


def test_the_notebook_runs_and_shows_what_it_says(root: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(root / "examples" / "first_model.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # committed without
    options = {"timeout": 120, "kernel_name": "python3"}
    client = NotebookClient(notebook, **options, resources={"metadata": {"path": str(tmp_path)}})
    try:
        client.execute(env=os.environ | {"TMPDIR": str(tmp_path)})
    finally:
        end_workers(tmp_path)
    shown = {cell.source: outputs(cell) for cell in notebook.cells if cell.cell_type == "code"}
    trained = next(text for source, text in shown.items() if source.startswith("trained = "))
    assert "mean error of pressure" in trained
    assert "<table>" in trained
    assert "image/png" in shown["trained.plot()"]
    everything = "".join(shown.values())
    for part in ("next pressure", "a jump to 40 raises an alarm: True", "1 stream lives"):
        assert part in everything
    low, high = re.search(r"90 % between ([\d.]+) and ([\d.]+)", everything).groups()  # type: ignore[union-attr]
    assert 15 < float(low) < float(high) < 25
