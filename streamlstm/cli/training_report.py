"""What `streamlstm train` says before and after: what it read, how it ended, how good it is."""

from __future__ import annotations

from pathlib import Path

from streamlstm.cli.console import console, counted, err
from streamlstm.data.csv import Table
from streamlstm.learn.dataset import Dataset
from streamlstm.learn.fit import Fitted, Settings
from streamlstm.learn.scores import Score
from streamlstm.network.model import Model


def say(line: str) -> None:
    """Print a line about what goes on, on stderr."""
    err.print(line, markup=False)


def announce(
    table: Table,
    dataset: Dataset,
    names: list[str],
    targets: list[str],
    settings: Settings,
) -> None:
    """Say what was read, and what will be trained on it."""
    many = f", {len(dataset.series)} series" if len(dataset.series) > 1 else ""
    say(f"{table.path}: {len(table)} rows{many}; {', '.join(names)} -> {', '.join(targets)}")
    for name in table.text:
        say(f"column {name!r} holds text and is left out")
    layers = " x ".join(f"LSTM({H})" for H in settings.hidden_sizes)
    say(
        f"training {layers} on {len(dataset.train_rows)} values, validating on "
        f"{len(dataset.validation_rows)}; validation errors are fractions of persistence's"
    )


def report(
    out: Path,
    model: Model,
    fitted: Fitted,
    scores: list[Score],
    season: int | None,
    interruption: str,
) -> None:
    """Print how training ended, and the errors on the held-back end."""
    ended = {
        "settled": "no more progress",
        "epochs": "all sweeps done",
        "interrupted": f"stopped by {interruption}",
    }[fitted.ended]
    best = fitted.best
    sweeps = counted(len(fitted.history), "sweep")
    say(
        f"{ended} after {sweeps}, {fitted.history[-1].seconds:.0f} s; kept "
        f"sweep {best.number}, validation {best.validation:.3f} of persistence"
    )
    if not scores:
        say("nothing was held back, so there is nothing to score")
    for score in scores:
        console.print(f"{score.target}: mean absolute error on the last {score.values} values")
        console.print(f"  model           {score.model:.6g}")
        _compare("persistence", score.model, score.persistence)
        if score.seasonal is not None:
            _compare(f"season of {season}", score.model, score.seasonal)
    console.print(f"wrote {out} ({counted(model.horizon, 'step')} ahead)")


def _compare(name: str, error: float, other: float) -> None:
    if other > 0:
        share = 100 * (1 - error / other)
        said = f"the model is {abs(share):.1f} % {'below' if share >= 0 else 'ABOVE'} it"
    else:
        said = "this series needs no model" if error > 0 else "no error either"
    console.print(f"  {name:<15} {other:.6g}   {said}")
