"""Messages of `streamlstm train`: its data and settings, how training ended, and the scores."""

from __future__ import annotations

from pathlib import Path

from streamlstm.cli.console import console, counted, err
from streamlstm.data.table import Table
from streamlstm.learn.dataset import Dataset
from streamlstm.learn.fit import FitResult
from streamlstm.learn.scores import Score
from streamlstm.learn.settings import Settings
from streamlstm.network.model import Model


def log(line: str) -> None:
    """Print a line on stderr."""
    err.print(line, markup=False)


def log_setup(
    table: Table,
    dataset: Dataset,
    names: list[str],
    targets: list[str],
    settings: Settings,
) -> None:
    """Print the size of the data and of the network."""
    many = f", {len(dataset.series)} series" if len(dataset.series) > 1 else ""
    log(f"{table.path}: {len(table)} rows{many}; {', '.join(names)} -> {', '.join(targets)}")
    for name in table.text:
        log(f"column {name!r} holds text and is left out")
    layers = " x ".join(f"LSTM({H})" for H in settings.hidden_sizes)
    log(
        f"training {layers} on {len(dataset.train_rows)} values, validating on "
        f"{len(dataset.validation_rows)}; validation errors are fractions of persistence's"
    )


def print_result(
    out: Path,
    model: Model,
    fitted: FitResult,
    scores: list[Score],
    season: int | None,
    interruption: str,
    inside: dict[float, float],
) -> None:
    """Print how training ended, and the errors on the test rows."""
    reason = {
        "settled": "no more progress",
        "epochs": "all epochs done",
        "interrupted": f"stopped by {interruption}",
    }[fitted.ended]
    best = fitted.best
    epochs = counted(len(fitted.history), "epoch")
    log(
        f"{reason} after {epochs}, {fitted.history[-1].seconds:.0f} s; kept "
        f"epoch {best.number}, validation {best.validation:.3f} of persistence"
    )
    if not scores:
        log("nothing was held back, so there is nothing to score")
    for score in scores:
        console.print(f"{score.target}: mean absolute error on the last {score.values} values")
        console.print(f"  model           {score.model:.6g}")
        _compare("persistence", score.model, score.persistence)
        if score.seasonal is not None:
            _compare(f"season of {season}", score.model, score.seasonal)
    for level, share in inside.items():
        console.print(f"{100 * level:g} % interval: {100 * share:.1f} % of these values inside")
    if model.online is not None and model.online.adapt != "none":
        console.print("the last layer goes on learning from each stream while it is served")
    console.print(f"wrote {out} ({counted(model.horizon, 'step')} ahead)")


def _compare(name: str, error: float, other: float) -> None:
    if other > 0:
        gain = 100 * (1 - error / other)
        verdict = f"the model is {abs(gain):.1f} % {'below' if gain >= 0 else 'ABOVE'} it"
    else:
        verdict = "this series needs no model" if error > 0 else "no error either"
    console.print(f"  {name:<15} {other:.6g}   {verdict}")
