"""`streamlstm predict`: predicts from a file without a worker."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamlstm.cli.signals import exit_on_interrupt
from streamlstm.cli.table_options import ModelFile, TableFile, reads_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from streamlstm.data.table import Table
    from streamlstm.data.text_column import TextColumn
    from streamlstm.network.model import Model


@reads_table
def predict(
    model: ModelFile,
    data: TableFile,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The file to write (.csv, .csv.gz); stdout by default."),
    ] = None,
    actual: Annotated[
        bool,
        typer.Option(
            "--actual",
            help="Write beside the outputs what came at the time that it speaks of; of a model of "
            "classes the class that was told and the one that it was.",
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            help="Draw the last predictions beside what came (.png, .svg, .pdf); without --out no "
            "CSV is written.",
        ),
    ] = None,
    *,
    reading: dict[str, Any],
) -> None:
    """Predict from a file offline, and write the predictions as CSV.

    The output has one row for each row of the file, in the same order: time and series where
    there are any, then the model's outputs by name, and what its online stage says of them:
    bounds of intervals, such as `value_low_90`, score, p-value and alarm. The prediction in a row
    is for a row some steps later in the same series, whose time is written too: `time@+24` for
    `value@+24`. Every series starts from a fresh state, like a new stream in `serve`, so its
    first predictions know little of the past.

    \b
    Example:
      streamlstm predict model.safetensors data.csv --out predictions.csv
      streamlstm predict model.safetensors data.csv --plot forecast.png
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.cli.output_path import check_output

    for option, path in (("--out", out), ("--plot", plot)):
        if path is not None:
            check_output(option, path, data=data, model=model)
    if plot is not None:
        from streamlstm.plots.files import check_picture

        check_picture(plot)
    from streamlstm.data.memory import collect_seldom, release, return_freed_memory, without

    collect_seldom()
    return_freed_memory()
    from streamlstm.backends.warmup import compile_for
    from streamlstm.cli.console import counted, err
    from streamlstm.cli.understood import print_notes
    from streamlstm.data.options import ReadOptions
    from streamlstm.data.read import read_table
    from streamlstm.engine.offline import predict_in_parts, predict_rows, result_columns
    from streamlstm.learn.evaluation.reading import reading_for
    from streamlstm.learn.model_inputs import reading_of
    from streamlstm.network.model import Model
    from streamlstm.online.layout import fills

    network = Model.load(model)
    compared = actual or plot is not None
    needed = reading_for(network) if compared else reading_of(network, network.inputs)
    reading |= {"missing": fills(network)} | needed
    table = read_table(data, ReadOptions(**reading))
    print_notes(table)
    names, columns = result_columns(network)
    before = _stamps(table, sorted({h for h in network.horizons if h}))
    rows, arguments = len(table), _arguments(network, table)
    whole = table if compared else None
    del table  # a large one is not needed twice
    release()
    with exit_on_interrupt(), without("scipy.linalg"):  # the compiler swallows some interrupts
        compile_for(network)
    came: dict[str, Any] = {}
    if whole is None:
        parts = predict_in_parts(*arguments)
    else:
        results = predict_rows(*arguments)
        parts = iter([(slice(0, rows), results)])
        if plot is not None:
            _draw(plot, network, whole, results)
            if out is None:
                return
        if actual:
            came = _came(network, whole, results)
    _write(out, before, names, ((rows, results[:, columns]) for rows, results in parts), came)
    if out is not None:
        err.print(f"wrote {out} ({counted(rows, 'prediction')})", markup=False)


def _arguments(network: "Model", table: "Table") -> tuple[Any, ...]:
    """Return what `predict_rows` needs of a table, as small as it may be."""
    import numpy as np

    from streamlstm.learn.evaluation.reading import checked_inputs

    values = checked_inputs(network, table)
    if network.input_offsets is None:
        values = values.astype(np.float32)
    time = None if network.online is None else table.time
    rows = table.groups().values() if table.streams is not None else [range(len(table))]
    return network, values, list(rows), time


def _draw(path: Path, network: "Model", table: "Table", results: "NDArray[Any]") -> None:
    """Write a picture of the last predictions."""
    from streamlstm.cli.console import err
    from streamlstm.learn.report.figure import prediction_figure

    prediction_figure(network, table, results).save(path)
    err.print(f"wrote {path}", markup=False)


def _came(network: "Model", table: "Table", results: "NDArray[Any]") -> dict[str, Any]:
    """Return the columns of what came at the time that each row speaks of."""
    from streamlstm.learn.evaluation.reading import told_column

    column = told_column(network)
    return _actual(network, table) if column is None else _classes(network, table, results, column)


def _actual(network: "Model", table: "Table") -> "dict[str, NDArray[Any]]":
    """Return what came at the time that each output speaks of, of quantiles once; or NaN."""
    import numpy as np

    from streamlstm.data.ahead import rows_ahead
    from streamlstm.learn.evaluation.points import forecast_of, target_columns

    told = {}
    for output, column, steps in zip(
        network.outputs, target_columns(network, table.names), network.horizons, strict=True
    ):
        ahead = rows_ahead(table, steps)
        came = table.select([column])[np.maximum(ahead, 0), 0]
        told[f"{forecast_of(output)}_actual"] = np.where(ahead >= 0, came, np.nan)
    return told


def _classes(
    network: "Model", table: "Table", results: "NDArray[Any]", column: str
) -> "dict[str, TextColumn]":
    """Return the names of the class that was told of each row and of the one that it was."""
    import numpy as np

    from streamlstm.data.ahead import rows_ahead
    from streamlstm.data.text_column import TextColumn

    told = np.array(network.outputs)[results[:, : network.output_size].argmax(axis=1)]
    ahead = rows_ahead(table, network.horizon)
    came = np.array(list(table.categories[column]), object)[np.maximum(ahead, 0)]
    came[ahead < 0] = ""
    return {
        f"{column}_told": TextColumn.of(told.tolist()),
        f"{column}_actual": TextColumn.of(came.tolist()),
    }


def _stamps(table: "Table", horizons: "Sequence[int]") -> "dict[str, TextColumn]":
    """Return time and stream of each row, and the times that predictions speak of."""
    from streamlstm.data.ahead import times_ahead

    columns: dict[str, TextColumn] = {}
    for name, cells in ((table.time_column, table.stamps), (table.stream_column, table.streams)):
        if name is not None and cells is not None:
            columns[name] = cells
    if table.time_column is not None and table.stamps is not None and table.time is not None:
        for steps in horizons:
            columns[f"{table.time_column}@+{steps}"] = times_ahead(table, steps)
    return columns


def _write(
    out: Path | None,
    before: "dict[str, TextColumn]",
    names: "Sequence[str]",
    parts: "Iterable[tuple[slice, NDArray[Any]]]",
    came: dict[str, Any],
) -> None:
    """Write what stands before the predictions, these part by part, and what came."""
    import sys

    from streamlstm.data.writing import csv_header, csv_rows, packed
    from streamlstm.files import replace_file

    def blocks() -> "Iterator[bytes]":
        yield csv_header([*before, *names, *came])
        for rows, results in parts:
            beside = [[c[rows] for c in columns.values()] for columns in (before, came)]
            yield csv_rows([*beside[0], *results.T, *beside[1]])

    if out is None:
        for block in blocks():
            sys.stdout.write(block.decode())
        return
    replace_file(out, packed(blocks()) if out.suffix == ".gz" else blocks())
