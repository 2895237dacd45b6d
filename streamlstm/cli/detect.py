"""``streamlstm detect``: finds what is unusual in a table, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from streamlstm.cli.table_options import TableFile, reads_table_with_gaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamlstm.data.table import Table
    from streamlstm.engine.prediction import Predictions

MOST = 50  # alarms that are listed


@reads_table_with_gaps
def detect(
    data: TableFile,
    column: Annotated[
        list[str] | None, Option("--column", help="Only this column; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None, Option("--out", help="Write score, p-value and alarm of every row as CSV.")
    ] = None,
    alarm_rate: Annotated[
        float, Option(help="At most so many false alarms a row, on a stream that does not change.")
    ] = 1e-4,
    *,
    reading: dict[str, Any],
) -> None:
    """Score every row of a table by how unusual it is, and list the alarms.

    Nothing is trained and nothing has to be set: a network with fixed weights and a head that
    learns from each series read the rows once, in their order, as a worker would that gets them
    live. The first 100 rows of a series are for learning.

    \b
    Example:
      streamlstm detect sensors.csv
      streamlstm detect sensors.csv --column temperature --out scores.csv
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.backends.warmup import compile_for
    from streamlstm.cli.output_path import check_output
    from streamlstm.cli.signals import exit_on_interrupt
    from streamlstm.cli.understood import print_notes
    from streamlstm.data.options import ReadOptions
    from streamlstm.data.read import read_table
    from streamlstm.engine.offline import predict_rows
    from streamlstm.engine.prediction import Predictions, ResultLayout
    from streamlstm.learn.offsets import fit_offsets
    from streamlstm.online.detector import detector

    if out is not None:
        check_output("--out", out, data=data)
    reading |= {"columns": tuple(column or ()), "missing": True}
    table = read_table(data, ReadOptions(**reading))
    print_notes(table)
    groups = list(table.groups().values())
    offsets = fit_offsets([table.values[rows] for rows in groups])
    model = detector(table.names, alarm_rate=alarm_rate).with_offsets(offsets)
    with exit_on_interrupt():  # the compiler swallows some interrupts
        compile_for(model)
    results = predict_rows(model, table.values, groups, table.time)
    said = Predictions(results, ResultLayout.of(model))
    if out is not None:  # before anything is printed into a pipe that may be closed
        _write(out, table, said)
    _list(table, said)
    if out is not None:
        print(f"written to {out}")


def _where(table: Table, row: int) -> list[str]:
    """Return time, or line, and series of a row."""
    words = [table.stamps[row] if table.stamps else f"line {table.lines[row]}"]
    return words + ([table.streams[row]] if table.streams else [])


def _list(table: Table, said: Predictions) -> None:
    """Print the alarms, the most unusual ones first if they are many."""
    import numpy as np
    from rich.table import Table as Grid

    from streamlstm.cli.console import bar, console, counted

    rows = np.flatnonzero(said.alarm)
    print(f"{table.path}: {counted(len(table), 'row')}, {counted(len(rows), 'alarm')}")
    if not len(rows):
        return
    most = max(float(np.nanmax(said.score[rows])), 1.0)
    shown = rows[np.argsort(-said.score[rows], kind="stable")[:MOST]]
    kinds = said.kind
    grid = Grid("when" if table.stamps else "where", *(["series"] if table.streams else []))
    for name in ("value", "expected", "kind", "score", "p"):
        grid.add_column(name, justify="left" if name in ("kind", "score") else "right")
    for row in sorted(shown.tolist()):
        grid.add_row(
            *_where(table, row),
            _numbers(table.values[row]),
            _numbers(table.values[row] - said.error[row]),
            kinds[row],
            bar(float(said.score[row]), most),
            f"{said.p_value[row]:.1g}",
        )
    console.print(grid)
    if len(shown) < len(rows):
        print(f"these are the {len(shown)} with the highest scores; --out has all of them")


def _numbers(values: NDArray[Any]) -> str:
    return " ".join(f"{value:.5g}" for value in values.tolist())


def _write(out: Path, table: Table, said: Predictions) -> None:
    import csv
    import gzip
    import io

    from streamlstm.files import replace_file

    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    first = [table.time_column or "line", *([table.stream_column] if table.streams else [])]
    writer.writerow([*first, "score", "p_value", "alarm", "kind"])
    lines = zip(said.score, said.p_value, said.alarm, said.kind, strict=True)
    for row, (score, p_value, alarm, kind) in enumerate(lines):
        writer.writerow([*_where(table, row), f"{score:.4g}", f"{p_value:.3g}", int(alarm), kind])
    text = file.getvalue().encode()
    replace_file(out, gzip.compress(text, mtime=0) if out.suffix == ".gz" else text)
