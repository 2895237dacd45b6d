"""Options of `streamlstm train`, one of each setting; the defaults are those of `Settings`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def _not_nan(value: float) -> float:
    """Refuse nan, which passes the check of every range."""
    if value != value:
        raise typer.BadParameter("expected a number, got nan")
    return value


def _number(least: float, most: float, text: str) -> Any:
    """Return the option of a number in a range."""
    return typer.Option(min=least, max=most, callback=_not_nan, help=text)


def _numbers(value: str | tuple[float, ...]) -> tuple[float, ...]:
    """Read numbers that are separated by commas."""
    if isinstance(value, tuple):
        return value
    try:
        return tuple(float(number) for number in value.split(","))
    except ValueError:
        raise typer.BadParameter(f"expected numbers such as 0.1,0.5,0.9, got {value}") from None


# What is read and written.
Target = Annotated[
    list[str] | None, typer.Option("--target", help="A column to predict. May be repeated.")
]
Out = Annotated[Path, typer.Option("--out", help="The model file to write.")]
FromModel = Annotated[
    Path | None,
    typer.Option(
        "--from",
        help="A model to train on: its layers, scaling and settings are kept, so that a worker "
        "that serves it can be reloaded.",
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        help="A file that keeps the state of the training; the same command continues from it "
        "after a kill. Removed at the end.",
    ),
]
Sweep = Annotated[
    int,
    typer.Option(
        "--sweep",
        min=1,
        max=1000,
        help="Try so many settings, by successive halving on the validation rows, and train with "
        "the best; options that are given are not varied.",
    ),
]
Processes = Annotated[
    int | None,
    typer.Option(min=1, help="Settings tried at the same time; by default one on each core."),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        help="An input column; by default every numeric one that may help. May be repeated.",
    ),
]
Horizon = Annotated[
    list[str],
    typer.Option(
        help="Steps ahead to predict, such as 24, or 1..24 for each of these. May be repeated: "
        "each target then gets an output for each, such as value@+24."
    ),
]
Season = Annotated[
    int | None,
    typer.Option(min=1, help="Steps per season of the seasonal baseline; by default estimated."),
]
Classify = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Tell the class of each row, which this column names, in place of a --target.",
    ),
]
TargetCategory = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Predict the next value of this column of categories, such as events.",
    ),
]
ClassWeights = Annotated[
    Literal["none", "balanced"],
    typer.Option(help="Whether every class weighs the same in training, however rare it is."),
]
SequenceColumn = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="The column that names the sequence of each row, whose state is not carried on.",
    ),
]
Fill = Annotated[
    str,
    typer.Option(
        help="What takes the place of a missing value of an input: refuse, last, mean, zero, or "
        "predict. The model does it in serving too."
    ),
]
Difference = Annotated[
    list[str] | None,
    typer.Option(
        "--difference",
        help="An input that is a counter: its change from row to row is taken in its place, in "
        "serving too. May be repeated.",
    ),
]
Calendar = Annotated[
    str,
    typer.Option(
        help="Inputs that the model makes of the event time: some of hour,weekday,yearday,since; "
        "none; or auto, by the validation rows. Such a model needs the time of every observation."
    ),
]
Zone = Annotated[str, typer.Option(help="Time zone of the calendar, such as Europe/Berlin.")]
TrainFraction = Annotated[
    float, typer.Option(help="Fraction of each series to train on, from its start.")
]
ValidationFraction = Annotated[
    float, typer.Option(help="Fraction to validate on after that; the rest is the test set.")
]

# The network.
Hidden = Annotated[int, typer.Option(min=1, max=16_384, help="Hidden units of each layer.")]
Layers = Annotated[int, typer.Option(min=1, max=32, help="Recurrent layers.")]
Cell = Annotated[
    Literal["lstm", "gru", "rnn"],
    typer.Option(help="The cell of each layer: LSTM, GRU, or a plain RNN without gates."),
]
LayerNorm = Annotated[
    bool, typer.Option("--layer-norm", help="Normalise the outputs of each recurrent layer.")
]
Residual = Annotated[
    bool,
    typer.Option(
        "--residual",
        help="Add the inputs of each recurrent layer but the first to its outputs. A layer costs "
        "about three times as much to serve then.",
    ),
]
Dropout = Annotated[float, _number(0, 0.95, "Dropout between layers.")]
RecurrentDropout = Annotated[
    float,
    _number(0, 0.95, "Dropout between steps, the same units at all steps of a window."),
]
Embedding = Annotated[
    int, typer.Option(min=1, max=4_096, help="Width of the vector of each category.")
]
Quantiles = Annotated[
    Any,
    typer.Option(
        parser=_numbers,
        metavar="Q,Q,...",
        help="Predict these quantiles of each target, such as 0.1,0.5,0.9, in place of one value.",
    ),
]
Skip = Annotated[
    bool, typer.Option(help="Predict the change from the last value instead of the value.")
]

Linear = Annotated[
    bool,
    typer.Option(
        help="A linear part from the last values and the season beside the network, chosen and "
        "fitted first."
    ),
]

# How it is trained.
Epochs = Annotated[int, typer.Option(min=1, help="Maximum number of epochs over the data.")]
Window = Annotated[int, typer.Option(min=2, help="Steps of truncated backpropagation.")]
Batch = Annotated[int, typer.Option(min=1, help="Windows per update.")]
Rate = Annotated[float, _number(1e-9, 1, "Initial learning rate.")]
WeightDecay = Annotated[
    float,
    _number(
        0,
        100,
        "How far weights shrink with each update, as a fraction of the learning rate (AdamW).",
    ),
]
Shift = Annotated[
    float,
    _number(0, 100, "Augmentation against drift: shift windows up or down by up to this."),
]
Delta = Annotated[
    float,
    _number(1e-6, 1e6, "Huber loss: error, in standard deviations, from which the loss is linear."),
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same model.")]

# What stands around the network.
Online = Annotated[
    bool,
    typer.Option(
        help="Add prediction intervals and anomaly scores, and adaptation where it helped on "
        "the validation rows."
    ),
]

# What is written beside the model.
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        help="Write tables, plots and sentences on the test set to this file (.html), which needs "
        "no other.",
    ),
]
