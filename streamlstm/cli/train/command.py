"""`streamlstm train`: trains a model on a CSV file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..signals import exit_on_interrupt, sigterm_as_interrupt
from ..table_options import AllowGaps, StreamColumn, TableFile, TimeColumn

if TYPE_CHECKING:
    from streamlstm.data.table import Table
    from streamlstm.learn.dataset import Dataset, Split
    from streamlstm.learn.fit import FitResult
    from streamlstm.learn.settings import Settings


def _not_nan(value: float) -> float:
    """Refuse nan, which passes the check of every range."""
    if value != value:
        raise typer.BadParameter("expected a number, got nan")
    return value


def train(
    data: TableFile,
    target: Annotated[
        list[str], typer.Option("--target", help="A column to predict. May be repeated.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The model file to write.")] = Path(
        "model.safetensors"
    ),
    hidden: Annotated[
        int, typer.Option(min=1, max=16_384, help="Hidden units of each LSTM layer.")
    ] = 64,
    layers: Annotated[int, typer.Option(min=1, max=32, help="LSTM layers.")] = 1,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", help="An input column; by default every numeric column. May be repeated."
        ),
    ] = None,
    horizon: Annotated[int, typer.Option(min=1, help="Steps ahead to predict.")] = 1,
    season: Annotated[
        int | None,
        typer.Option(
            min=1, help="Steps per season of the seasonal baseline; by default estimated."
        ),
    ] = None,
    stream_column: StreamColumn = None,
    time_column: TimeColumn = None,
    allow_gaps: AllowGaps = False,
    train_fraction: Annotated[
        float, typer.Option(help="Fraction of each series to train on, from its start.")
    ] = 0.7,
    validation_fraction: Annotated[
        float, typer.Option(help="Fraction to validate on after that; the rest is the test set.")
    ] = 0.1,
    epochs: Annotated[
        int, typer.Option(min=1, help="Maximum number of epochs over the data.")
    ] = 300,
    window: Annotated[int, typer.Option(min=2, help="Steps of truncated backpropagation.")] = 64,
    batch: Annotated[int, typer.Option(min=1, help="Windows per update.")] = 8,
    rate: Annotated[
        float,
        typer.Option(min=1e-9, max=1, callback=_not_nan, help="Initial learning rate."),
    ] = 6e-3,
    shift: Annotated[
        float,
        typer.Option(
            min=0,
            max=100,
            callback=_not_nan,
            help="Augmentation against drift: shift windows up or down by up to this.",
        ),
    ] = 0.5,
    dropout: Annotated[
        float,
        typer.Option(min=0, max=0.95, callback=_not_nan, help="Dropout between layers."),
    ] = 0.0,
    delta: Annotated[
        float,
        typer.Option(
            min=1e-6,
            max=1e6,
            callback=_not_nan,
            help="Huber loss: error, in standard deviations, from which the loss is linear.",
        ),
    ] = 0.3,
    skip: Annotated[
        bool, typer.Option(help="Predict the change from the last value instead of the value.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same model.")] = 0,
    online: Annotated[
        bool,
        typer.Option(
            help="Add prediction intervals and anomaly scores, and adaptation where it helped on "
            "the validation rows."
        ),
    ] = True,
) -> None:
    """Train a model on a CSV file and report its errors.

    The file needs a header and numeric columns; a time column is optional. The first 70 % of each
    series are for training, the next 10 % for early stopping, and the last 20 % are the test set,
    scored once against persistence (the last value) and the value of a season ago. Ctrl-C and
    SIGTERM stop training, save the best model so far, and exit with status 130 or 143.

    \b
    Example:
      streamlstm train data.csv --target value --hidden 64 --out model.safetensors
    """  # noqa: D301 - \b keeps the lines of the example apart
    _one_blas_thread()
    with exit_on_interrupt():
        from streamlstm.cli.output_path import check_output
        from streamlstm.cli.train.progress import show_progress
        from streamlstm.cli.train.report import log, log_setup, print_result
        from streamlstm.cli.train.stage import add_stage, coverage, predict_all
        from streamlstm.learn import cells
        from streamlstm.learn.build import build_model
        from streamlstm.learn.dataset import Split
        from streamlstm.learn.fit import fit
        from streamlstm.learn.scores import score
        from streamlstm.learn.settings import Settings

    split = Split(train_fraction, validation_fraction)
    settings = Settings(
        hidden_sizes=(hidden,) * layers,
        epochs=epochs,
        window=window,
        batch=batch,
        rate=rate,
        shift=shift,
        dropout=dropout,
        delta=delta,
        seed=seed,
    )
    check_output("--out", out, data=data)
    table, names = _read(data, target, inputs, stream_column, time_column, allow_gaps)
    dataset = _dataset(table, names, target, horizon, split, skip)
    season = _season(dataset, season)
    settings = _shorten_window(settings, dataset)
    log_setup(table, dataset, names, target, settings)
    with exit_on_interrupt():
        cells.compile_kernels(settings.cell)
    with sigterm_as_interrupt() as interruption:
        try:
            with show_progress(settings.epochs) as on_epoch:
                fitted = fit(dataset, settings, on_epoch)
        except KeyboardInterrupt:
            log("stopped before the end of the first epoch: there is no model to save")
            raise typer.Exit(interruption.status) from None
    metadata = _metadata(data, target, settings, split, season, fitted)
    model = build_model(fitted.network, dataset, names, target, metadata)
    model.save(out)  # before it is scored: an interrupt must not lose it
    if online:
        model = add_stage(model, dataset)
    results = predict_all(model, dataset)
    scores = score(dataset, results[:, : model.output_size], target, season)
    model.metadata["scores"] = _as_json([vars(score) for score in scores])
    model.save(out)
    inside = coverage(model, dataset, results)
    print_result(out, model, fitted, scores, season, interruption.name, inside)
    if fitted.ended == "interrupted":
        raise typer.Exit(interruption.status)


def _one_blas_thread() -> None:
    """Limit BLAS to one thread, unless the environment says otherwise.

    The product of a step takes microseconds. Waking a second thread for it takes longer than it
    saves, and doubles the training time wherever that thread's core is busy. BLAS reads the limit
    once, when NumPy is imported, which the command line has not done yet.
    """
    import os

    for library in ("OPENBLAS", "MKL", "BLIS"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def _read(
    data: str,
    targets: list[str],
    inputs: list[str] | None,
    stream_column: str | None,
    time_column: str | None,
    allow_gaps: bool,
) -> "tuple[Table, list[str]]":
    """Read the table and determine the input columns."""
    from streamlstm.data.csv import read_csv
    from streamlstm.errors import DataError

    for option, given in (("--target", targets), ("--input", inputs or [])):
        for name in given:
            if given.count(name) > 1:
                raise DataError(f"{option} {name}: given twice; name each column once")
    table = read_csv(
        data,
        time_column=time_column,
        stream_column=stream_column,
        columns=None if not inputs else list(dict.fromkeys([*inputs, *targets])),
        allow_gaps=allow_gaps,
    )
    names = inputs or list(table.names)
    table.select([*names, *targets])  # raises if a column is missing or holds text
    return table, names


def _dataset(
    table: "Table", names: list[str], targets: list[str], horizon: int, split: "Split", skip: bool
) -> "Dataset":
    from streamlstm.errors import DataError
    from streamlstm.learn.dataset import Dataset

    columns = list(dict.fromkeys([*names, *targets]))
    values = table.select(columns)
    try:
        return Dataset(
            [(stream, values[rows]) for stream, rows in table.groups().items()],
            [columns.index(name) for name in names],
            [columns.index(name) for name in targets],
            horizon,
            split,
            skip,
        )
    except DataError as error:
        raise DataError(f"{table.path}: {error}") from None


def _season(dataset: "Dataset", given: int | None) -> int | None:
    """Return the season of the baseline: as given, or as estimated from the longest series."""
    from streamlstm.errors import DataError
    from streamlstm.learn.season import find_season

    longest = max(dataset.series, key=len)
    if given is None:
        return find_season(longest.values[: longest.train_end, dataset.targets[0]])
    if given >= longest.train_end:
        raise DataError(
            f"--season {given}: expected less than the {longest.train_end} rows trained on"
        )
    return given


def _shorten_window(settings: "Settings", dataset: "Dataset") -> "Settings":
    """Limit the window to the longest series of training rows."""
    from dataclasses import replace

    from streamlstm.cli.console import err

    rows = max(series.train_end for series in dataset.series) - dataset.horizon
    if settings.window <= rows:
        return settings
    err.print(f"--window {settings.window}: shortened to {rows}, the longest stretch to train on")
    return replace(settings, window=rows)


def _metadata(
    data: str,
    targets: list[str],
    settings: "Settings",
    split: "Split",
    season: int | None,
    fitted: "FitResult",
) -> dict[str, str]:
    """Return the metadata of the model file, the same in every run of the same training."""
    from streamlstm import __version__

    best = fitted.best
    return {
        "made_by": f"streamlstm train {__version__}",
        "data": Path(data).name,
        "targets": _as_json(targets),
        "settings": _as_json(vars(settings) | vars(split) | {"season": season}),
        "training": _as_json(
            {
                "sweeps": len(fitted.history),
                "best_sweep": best.number,
                "validation_of_persistence": round(best.validation, 6),
                "ended": fitted.ended,
            }
        ),
    }


def _as_json(value: object) -> str:
    import json

    return json.dumps(value)
