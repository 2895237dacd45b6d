"""`streamlstm evaluate`: says how good a model is on a file."""

from pathlib import Path
from typing import Annotated, Any

from typer import Option

from ..signals import exit_on_interrupt
from ..table_options import ModelFile, TableFile, reads_table


@reads_table
def evaluate(
    model: ModelFile,
    data: TableFile,
    json: Annotated[
        Path | None, Option("--json", help="Write everything to this file, for programs.")
    ] = None,
    report: Annotated[
        Path | None,
        Option(
            "--report",
            help="Write tables, plots and sentences to this file (.html), which needs no other.",
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        Option(
            "--target",
            help="The column that an output forecasts, if its name does not say, once for each "
            "output; of a model of classes the column of these.",
        ),
    ] = None,
    warm_up: Annotated[
        int, Option(min=0, help="Do not score the forecasts of so many first rows of each series.")
    ] = 0,
    from_row: Annotated[
        int, Option(min=1, help="Score only this row of each series, from 1, and later ones.")
    ] = 1,
    test_only: Annotated[
        bool,
        Option(
            "--test-only",
            help="Score only rows that the model was neither trained nor validated on, as its "
            "file says.",
        ),
    ] = False,
    season: Annotated[
        int | None,
        Option(min=1, help="Rows per season of a baseline; by default as the model's file says."),
    ] = None,
    *,
    reading: dict[str, Any],
) -> None:
    """Say how good a model is on a file, beside simple forecasts of the same values.

    The file is stepped row by row as it would have come live, each series from a fresh state. For
    each series, target and horizon: the errors, and those of persistence (the last value), of the
    value a season ago and of a linear autoregression, none of which sees later rows; how many
    values fell inside each interval; alarms, missing rows, and where the errors were largest. Of a
    model of classes: accuracy, F1, the confusion matrix, and how early in a sequence it is right.

    \b
    Example:
      streamlstm evaluate model.safetensors data.csv --test-only --report report.html
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.cli.output_path import check_output

    for option, path in (("--json", json), ("--report", report)):
        if path is not None:
            check_output(option, path, data=data, model=model)
    if report is not None:
        from streamlstm.learn.report.page import check_report

        check_report(report)
    from streamlstm.backends.warmup import compile_for
    from streamlstm.cli.evaluate.tables import print_evaluation, print_source
    from streamlstm.cli.understood import print_notes
    from streamlstm.data.options import ReadOptions
    from streamlstm.data.read import read_table
    from streamlstm.learn.evaluation import evaluate as judge
    from streamlstm.learn.evaluation.reading import reading_for
    from streamlstm.network.model import Model

    network = Model.load(model)
    reading = reading_for(network, target) | reading
    table = read_table(data, ReadOptions(**reading))
    print_notes(table)
    with exit_on_interrupt():  # the compiler swallows some interrupts
        compile_for(network)
    found = judge(
        network,
        table,
        target=target or None,
        warm_up=warm_up,
        from_row=from_row,
        test_only=test_only,
        season=season,
    )
    if json is not None:  # before anything is printed into a pipe that may be closed
        _write_json(json, found.to_dict())
    if report is not None:
        found.report(report)
    print_source(found)
    print_evaluation(found)


def _write_json(path: Path, values: dict[str, object]) -> None:
    from json import dumps

    from streamlstm.files import replace_file

    replace_file(path, (dumps(values, indent=1) + "\n").encode())
