"""`streamlstm plot` of tables: what is drawn where, in the terminal and as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from streamlstm.cli import app
from streamlstm.cli.plot.dots import draw_dots
from streamlstm.plots.strip import Strip

PREDICTIONS = "time,time@+1,stream,y,y_low_50,y_high_50,y_low_90,y_high_90,score,alarm,y_actual"


def predictions(path: Path) -> Path:
    """Write what `predict` writes: two streams, a spike of one in the middle."""
    lines = [PREDICTIONS]
    for n in range(40):
        for stream, level in (("a", 0), ("b", 100)):
            spike = n == 20 and stream == "a"
            y, came = level + n / 10, level + n / 10 + (9 if spike else 0)
            bounds = f"{y - 1},{y + 1},{y - 2},{y + 2}"
            stamps = f"2024-05-01T00:{n:02d}:00,2024-05-01T00:{n + 1:02d}:00"
            score = "8,1" if spike else "0.1,0"
            lines.append(f"{stamps},{stream},{y},{bounds},{score},{came}")
    path.write_text("\n".join(lines) + "\n")
    return path


def plotted(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["plot", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.stdout


def failed(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["plot", *map(str, arguments)])
    assert done.exit_code
    return str(done.exception) + done.output


def test_what_predict_wrote_is_understood(tmp_path: Path) -> None:
    table = predictions(tmp_path / "p.csv")
    first, legend, *drawn, scores, alarms, ends = plotted(table, "--stream", "a").splitlines()
    assert first == "a of p.csv"
    assert legend.split("  ") == ["━ y_actual", "━ y", "┄ interval", "▲ alarm"]
    assert ends.split() == ["2024-05-01", "00:01:00", "00:40:00"]  # what predictions speak of
    assert alarms.count("▲") == 1
    at = alarms.index("▲")
    assert scores[at] == "▇"  # 8 of 10
    top = next(line for line in drawn if line[at] not in " ")
    assert top is drawn[0]  # the spike is the greatest of all, at the alarm
    assert drawn[0].split()[0] == "11"


@pytest.mark.parametrize("steps", [(1,), (1, 5)])
def test_times_that_are_numbers_are_no_lines(tmp_path: Path, steps: tuple[int, ...]) -> None:
    path = tmp_path / "p.csv"
    ahead = "".join(f",time@+{each}" for each in steps)
    rows = [f"{n},1.0/cpu" + "".join(f",{n + k}" for k in steps) + ",0.5" for n in range(20)]
    path.write_text("\n".join([f"time,stream{ahead},y", *rows]) + "\n")
    _, legend, *_, ends = plotted(path, "--stream", "1.0/cpu").splitlines()
    assert legend == "━ y"
    assert ends.split() == (["1", "20"] if len(steps) == 1 else ["0", "19"])
    others = [row.replace("cpu", "memory") for row in rows]
    path.write_text("\n".join([f"time,stream{ahead},y", *rows, *others]) + "\n")
    assert "expected --stream to name one; they are '1.0/cpu', '1.0/memory'" in failed(path)


def test_the_last_rows_alone(tmp_path: Path) -> None:
    table = predictions(tmp_path / "p.csv")
    shown = plotted(table, "--stream", "b", "--last", 5, "--column", "y")
    assert shown.splitlines()[1] == "━ y  ┄ interval"
    assert "00:36:00" in shown


def test_a_table_without_times_is_drawn_over_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    path.write_text("x,note\n" + "".join(f"{n % 7},some\n" for n in range(50)))
    shown = plotted(path).splitlines()
    assert shown[:2] == ["plain.csv", "━ x"]
    assert shown[-1].split() == ["1", "50"]


def test_pictures_are_written_and_checked_before_the_work(tmp_path: Path) -> None:
    table = predictions(tmp_path / "p.csv")
    assert plotted(table, "--stream", "a", "--out", tmp_path / "p.png") == ""
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert "expected a picture's name" in failed(table, "--stream", "a", "--out", tmp_path / "p.x")
    assert "this is the file with the data" in failed(table, "--out", table)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    table = predictions(tmp_path / "p.csv")
    assert "there is no 'c'; they are 'a', 'b'" in failed(table, "--stream", "c")
    assert "'z'" in failed(table, "--stream", "a", "--column", "z")
    assert "expected a table, or --stream NAME" in failed()
    empty = tmp_path / "text.csv"
    empty.write_text("name\nsome\nother\n")
    assert "expected at least one numeric column" in failed(empty)


@pytest.mark.parametrize(("width", "height"), [(50, 12), (20, 9), (120, 40)])
def test_a_drawing_fits_and_follows_the_values(width: int, height: int) -> None:
    at, values = np.arange(300.0), np.linspace(-1, 1, 300)
    values[100:120] = np.nan
    strip = Strip(at, {"x": values}, (values - 0.1, values + 0.1), np.zeros(300), at == 299)
    shown = draw_dots(strip, "rising", width, height).plain.splitlines()
    assert max(map(len, shown)) <= width
    assert len(shown) <= height
    assert shown[-2].rstrip().endswith("▲")
    rows = [n for n, line in enumerate(shown[2:-3]) for mark in line if "⠀" < mark <= "⣿"]
    assert {0, len(shown[2:-3]) - 1} <= set(rows)  # from the bottom to the top


@pytest.mark.parametrize("values", [[np.nan] * 5, [3.0] * 5, [1e300, -1e300, 0, 1, 2], [5.0]])
def test_any_values_can_be_drawn(values: list[float]) -> None:
    strip = Strip(np.arange(float(len(values))), {"x": np.array(values)})
    assert draw_dots(strip, "x", 40, 8).plain
