"""`streamlstm train`: a CSV file in, a model file out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .signals import interruptible, leaving_at_once

if TYPE_CHECKING:
    from streamlstm.data.csv import Table
    from streamlstm.learn.dataset import Dataset, Split
    from streamlstm.learn.fit import Fitted, Settings
    from streamlstm.learn.scores import Score
    from streamlstm.network.model import Model


def _a_number(value: float) -> float:
    """Refuse nan, which lies in every range as no comparison with it fails."""
    if value != value:
        raise typer.BadParameter("expected a number, got nan")
    return value


def train(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A CSV file (.csv, .csv.gz), or - for stdin.")
    ],
    target: Annotated[
        list[str], typer.Option("--target", help="A column to predict; may be given several times.")
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
        typer.Option("--input", help="An input column; by default every numeric column."),
    ] = None,
    horizon: Annotated[int, typer.Option(min=1, help="Steps ahead to predict.")] = 1,
    season: Annotated[
        int | None,
        typer.Option(min=1, help="Steps a season, for the comparison; by default found."),
    ] = None,
    stream_column: Annotated[
        str | None, typer.Option(help="The column that names each row's series.")
    ] = None,
    time_column: Annotated[
        str | None, typer.Option(help="The time column, where it is not found by itself.")
    ] = None,
    allow_gaps: Annotated[
        bool, typer.Option("--allow-gaps", help="Go on over missing rows as if none were missing.")
    ] = False,
    train_fraction: Annotated[
        float, typer.Option(help="How much of each series to train on, from its start.")
    ] = 0.7,
    validation_fraction: Annotated[
        float, typer.Option(help="How much to validate on after that; the rest is held back.")
    ] = 0.1,
    epochs: Annotated[int, typer.Option(min=1, help="Sweeps over the data, at most.")] = 300,
    window: Annotated[int, typer.Option(min=2, help="Steps that gradients flow back.")] = 64,
    batch: Annotated[int, typer.Option(min=1, help="Windows an update.")] = 8,
    rate: Annotated[
        float,
        typer.Option(min=1e-9, max=1, callback=_a_number, help="Learning rate at the start."),
    ] = 6e-3,
    shift: Annotated[
        float,
        typer.Option(
            min=0,
            max=100,
            callback=_a_number,
            help="Move windows up or down by this, against drift.",
        ),
    ] = 0.5,
    dropout: Annotated[
        float,
        typer.Option(
            min=0, max=0.95, callback=_a_number, help="Dropped between layers in training."
        ),
    ] = 0.0,
    delta: Annotated[
        float,
        typer.Option(
            min=1e-6,
            max=1e6,
            callback=_a_number,
            help="Where the loss turns from square to straight, in deviations.",
        ),
    ] = 0.3,
    skip: Annotated[
        bool, typer.Option(help="Predict the change from the last value, not the value.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same model.")] = 0,
) -> None:
    """Train a model on a CSV file and say how good it is.

    The file needs a header, numeric columns and, if it has one, a time column. The first 70 % of
    each series are trained on, the next 10 % choose when to stop, the last 20 % are held back and
    scored once, against persistence (nothing changes) and the value of a season ago. Ctrl-C and
    SIGTERM stop training, keep the best model so far, and exit with status 130 or 143.

    \b
    Example:
      streamlstm train data.csv --target value --hidden 64 --out model.safetensors
    """  # noqa: D301 - \b keeps the lines of the example apart
    _one_blas_thread()
    with leaving_at_once():
        from streamlstm.cli.output_path import check_output
        from streamlstm.cli.training_progress import watched
        from streamlstm.cli.training_report import announce, report, say
        from streamlstm.learn import cell
        from streamlstm.learn.build import build_model
        from streamlstm.learn.dataset import Split
        from streamlstm.learn.fit import Settings, fit

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
    settings = _fitting(settings, dataset)
    announce(table, dataset, names, target, settings)
    with leaving_at_once():
        cell.load()
    with interruptible() as interruption:
        try:
            with watched(settings.epochs) as on_epoch:
                fitted = fit(dataset, settings, on_epoch)
        except KeyboardInterrupt:
            say("stopped before the first sweep was done: there is no model to keep")
            raise typer.Exit(interruption.status) from None
    metadata = _metadata(data, target, settings, split, season, fitted)
    model = build_model(fitted.network, dataset, names, target, metadata)
    model.save(out)  # before it is scored: what is there cannot be lost any more
    scores = _scores(model, dataset, target, season)
    model.metadata["scores"] = _as_json([vars(score) for score in scores])
    model.save(out)
    report(out, model, fitted, scores, season, interruption.name)
    if fitted.ended == "interrupted":
        raise typer.Exit(interruption.status)


def _one_blas_thread() -> None:
    """Keep matrix products on one thread, unless the environment says otherwise.

    A step's product takes microseconds; waking a second thread for it takes longer than it saves,
    and doubles the time of a training wherever that thread has other work. BLAS reads this once,
    when NumPy is imported, and the command line has not done that yet.
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
    """Read the table and settle which columns are inputs."""
    from streamlstm.data.csv import read_csv
    from streamlstm.errors import DataError

    for what, given in (("--target", targets), ("--input", inputs or [])):
        for name in given:
            if given.count(name) > 1:
                raise DataError(f"{what} {name}: given twice; name each column once")
    table = read_csv(
        data,
        time_column=time_column,
        stream_column=stream_column,
        columns=None if not inputs else list(dict.fromkeys([*inputs, *targets])),
        allow_gaps=allow_gaps,
    )
    names = inputs or list(table.names)
    table.select([*names, *targets])  # says which column is missing or holds text
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
    """Return the season to compare with: as given, or as found in the longest series."""
    from streamlstm.errors import DataError
    from streamlstm.learn.scores import find_season

    longest = max(dataset.series, key=len)
    if given is None:
        return find_season(longest.values[: longest.train_end, dataset.targets[0]])
    if given >= longest.train_end:
        raise DataError(
            f"--season {given}: expected less than the {longest.train_end} rows trained on"
        )
    return given


def _fitting(settings: "Settings", dataset: "Dataset") -> "Settings":
    """Shorten the window to what there is to train on: gradients cannot flow back further."""
    from dataclasses import replace

    from streamlstm.cli.console import err

    rows = max(series.train_end for series in dataset.series) - dataset.horizon
    if settings.window <= rows:
        return settings
    err.print(f"--window {settings.window}: shortened to {rows}, the longest stretch to train on")
    return replace(settings, window=rows)


def _scores(
    model: "Model", dataset: "Dataset", targets: list[str], season: int | None
) -> "list[Score]":
    import numpy as np

    from streamlstm.backends.factory import compile_for
    from streamlstm.cli.file_stepping import step_through
    from streamlstm.learn.scores import score

    compile_for(model)
    values = np.concatenate([s.values[:, dataset.inputs] for s in dataset.series])
    groups = [np.arange(s.begin, s.begin + len(s)) for s in dataset.series]
    return score(dataset, step_through(model, values, groups), targets, season)


def _metadata(
    data: str,
    targets: list[str],
    settings: "Settings",
    split: "Split",
    season: int | None,
    fitted: "Fitted",
) -> dict[str, str]:
    """Return what a model file tells about its training; nothing that changes from run to run."""
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
