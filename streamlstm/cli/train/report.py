"""Messages of `streamlstm train`: its data and settings, how training ended, and the scores."""

from __future__ import annotations

from itertools import pairwise
from math import log10
from pathlib import Path

from streamlstm.cli.console import console, counted, err, sparkline
from streamlstm.cli.evaluate.tables import print_evaluation
from streamlstm.learn.preparation import Preparation
from streamlstm.learn.settings import Settings
from streamlstm.learn.trained import Trained

from ..understood import print_notes

_CURVE = 60  # characters of the learning curve


def log(line: str) -> None:
    """Print a line on stderr."""
    err.print(line, markup=False)


def log_setup(prepared: Preparation) -> None:
    """Print the size of the data and of the network, and what was adjusted."""
    table, dataset, settings = prepared.table, prepared.dataset, prepared.settings
    print_notes(table)
    for note in prepared.notes:
        log(note)
    many = f", {len(dataset.series)} series" if len(dataset.series) > 1 else ""
    targets = settings.target or (settings.class_column,)
    columns = f"{', '.join(prepared.inputs)} -> {', '.join(targets)}"
    log(f"{table.path}: {len(table)} rows{many}; {columns}")
    layers = " x ".join(f"{settings.cell.upper()}({H})" for H in settings.hidden_sizes)
    log(
        f"training {layers} on {len(dataset.train_rows)} values, validating on "
        f"{len(dataset.validation_rows)}; validation errors are fractions of what "
        f"{_baseline(settings)} would have"
    )


def log_learning_curve(trained: Trained) -> None:
    """Print the validation error of the epochs as a line of bars, the first epoch on the left."""
    errors = [epoch.validation for epoch in trained.history]
    if len(errors) < 2:
        return
    means = [log10(max(sum(part) / len(part), 1e-9)) for part in _parts(errors, _CURVE)]
    curve = sparkline(means, min(means), max(means))
    log(f"validation {curve} {errors[0]:.3f} to {errors[-1]:.3f}")


def _parts(values: list[float], most: int) -> list[list[float]]:
    """Return consecutive parts of about equal length, ``most`` of them at most."""
    count = min(len(values), most)
    ends = [len(values) * n // count for n in range(count + 1)]
    return [values[a:b] for a, b in pairwise(ends)]


def print_result(out: Path, trained: Trained, interruption: str) -> None:
    """Print how training ended, and the errors on the test rows."""
    model, best = trained.model, trained.best
    reason = {
        "settled": "no more progress",
        "epochs": "all epochs done",
        "interrupted": f"stopped by {interruption}",
    }[trained.ended]
    epochs = counted(trained.history[-1].number, "epoch")
    log_learning_curve(trained)
    kept = f"epoch {best.number}" if best.number else "the model that it began with"
    log(
        f"{reason} after {epochs}, {trained.history[-1].seconds:.0f} s; kept {kept}, "
        f"validation {best.validation:.3f} of {_baseline(trained.settings)}"
    )
    if trained.evaluation is None:
        log("nothing was held back, so there is nothing to score")
    else:
        what = "errors" if trained.classes is None else "classes"
        console.print(f"{what} on the test set, the last rows of each series:")
        print_evaluation(trained.evaluation)
    for name, share in trained.calibration.items():
        console.print(f"{name}: {100 * share:.1f} % of these values not above it")
    if model.online is not None and model.online.adapt != "none":
        console.print("the last layer goes on learning from each stream while it is served")
    if trained.classes is None:
        console.print(f"wrote {out} ({_steps(sorted(set(model.horizons)))} ahead)")
    else:
        console.print(f"wrote {out} ({counted(len(model.outputs), 'output')})")


def _baseline(settings: Settings) -> str:
    """Return what validation errors are fractions of."""
    return "the frequency of each class" if settings.class_column else "persistence"


def _steps(horizons: list[int]) -> str:
    """Return horizons in words: "24 steps", "1, 6 and 24 steps", "1 to 24 steps"."""
    *others, last = horizons
    if not others:
        return counted(last, "step")
    if len(horizons) > 3 and last - horizons[0] == len(horizons) - 1:
        return f"{horizons[0]} to {last} steps"
    return f"{', '.join(map(str, others))} and {last} steps"
