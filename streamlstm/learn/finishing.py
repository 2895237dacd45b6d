"""What training ends with: the model of the fitted network, its online stage, and its scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .. import __version__
from ..network.model import Model
from .build import build_model
from .classes.dataset import ClassDataset
from .differences import with_counters
from .evaluation.classes import no_scores
from .evaluation.evaluation import Score
from .evaluation.held_back import evaluate_held_back
from .fit import FitResult, learning_curve
from .objective import objective_of
from .periods import describe_periods
from .preparation import Preparation
from .quantiles import calibration
from .settings import NetworkSettings, OptimizationSettings, Settings
from .stage import add_stage, coverage, predict_all
from .start import RECORDED
from .trained import Trained


def to_model(prepared: Preparation, fitted: FitResult) -> Model:
    """Return the model of the fitted network, without an online stage and not scored yet."""
    made = build_model(
        fitted.network,
        prepared.dataset,
        prepared.inputs,
        prepared.settings.outputs or (prepared.settings.class_column,),
        _metadata(prepared, fitted),
    )
    return with_counters(made, prepared.settings)


def kernels_of(settings: Settings) -> list[str]:
    """Return the groups of kernels that step the model which these settings make."""
    from ..kernels import compile, layout

    kind = {"lstm": layout.LSTM, "gru": layout.GRU, "rnn": layout.RNN}[settings.cell]
    return compile.needed([kind, layout.DENSE], "float32", online=bool(settings.online))


def finish(prepared: Preparation, fitted: FitResult, model: Model) -> Trained:
    """Add the online stage to the model from `to_model`, and score it on the test period."""
    dataset, settings = prepared.dataset, prepared.settings
    if isinstance(dataset, ClassDataset):
        return _finish_classes(prepared, fitted, model, dataset)
    points = objective_of(settings, len(settings.outputs)).points
    if settings.online and prepared.start is not None:
        model = model.with_online(prepared.start.online)  # or its streams could not continue
    elif settings.online:
        model = add_stage(model, dataset, points, prepared.season)
    results = predict_all(model, dataset)
    made = results[:, : model.output_size]
    evaluation = evaluate_held_back(
        model,
        prepared.table,
        dataset.series,
        results,
        prepared.season,
        learning_curve(fitted.history),
    )
    scores = [score for score in evaluation.totals if score.errors.values] if evaluation else []
    model.metadata["scores"] = json.dumps([_plain(score) for score in scores])
    return Trained(
        model=model,
        settings=settings,
        history=fitted.history,
        ended=fitted.ended,
        best=fitted.best,
        season=prepared.season,
        scores=scores,
        coverage=coverage(model, dataset, results),
        calibration=calibration(dataset, made, settings.quantiles, settings.outputs),
        dataset=dataset,
        results=results,
        sweep=prepared.sweep,
        evaluation=evaluation,
    )


def _plain(score: Score) -> dict[str, Any]:
    """Return the mean absolute errors of an output for the model's file."""
    errors = score.errors
    return {
        "target": score.output,
        "values": errors.values,
        "model": errors.mae,
        "persistence": errors.persistence,
        "seasonal": errors.season,
        "autoregression": errors.autoregression,
        "horizon": score.horizon,
    }


def _finish_classes(
    prepared: Preparation, fitted: FitResult, model: Model, dataset: ClassDataset
) -> Trained:
    """Score the classes on the test period; the online stage is what stands before the network."""
    if prepared.start is not None:
        model = model.with_online(prepared.start.online)  # or its streams could not continue
    results = predict_all(model, dataset)
    evaluation = evaluate_held_back(
        model, prepared.table, dataset.series, results, None, learning_curve(fitted.history)
    )
    found = evaluation.classes if evaluation else None
    scores = found.total if found else no_scores(model.outputs)
    model.metadata["scores"] = json.dumps(scores.summary() if scores.rows else {})
    return Trained(
        model=model,
        settings=prepared.settings,
        history=fitted.history,
        ended=fitted.ended,
        best=fitted.best,
        season=None,
        scores=[],
        coverage={},
        calibration={},
        dataset=dataset,
        results=results,
        sweep=prepared.sweep,
        classes=scores,
        evaluation=evaluation,
    )


def _metadata(prepared: Preparation, fitted: FitResult) -> dict[str, str]:
    """Return the metadata of the model file, the same in every run of the same training."""
    settings, best, sweep = prepared.settings, fitted.best, prepared.sweep
    tried = {} if sweep is None else {"sweep": json.dumps(sweep.summary())}
    return (
        tried
        | {
            "made_by": f"streamlstm train {__version__}",
            "data": Path(prepared.table.path).name,
            "targets": json.dumps(settings.target or [settings.class_column]),
            "settings": json.dumps(
                settings.of(NetworkSettings, OptimizationSettings)
                | {
                    name: getattr(settings, name)
                    for name in RECORDED
                    if getattr(settings, name) not in (None, "none")
                }
                | {"train": settings.train_fraction, "validation": settings.validation_fraction}
                | {"season": prepared.season}
            ),
            "training": json.dumps(
                {
                    "epochs": fitted.history[-1].number,
                    "best_epoch": best.number,
                    "validation_of_persistence": round(best.validation, 6),
                    "ended": fitted.ended,
                    "history": [
                        [round(loss, 6), round(validation, 6)]
                        for loss, validation in learning_curve(fitted.history)
                    ],
                }
            ),
        }
        | _periods(prepared)
    )


def _periods(prepared: Preparation) -> dict[str, str]:
    """Return by which rows the table is recognised."""
    names = (*prepared.settings.target, *prepared.table.names, *prepared.table.categories)
    return {"periods": describe_periods(prepared.table, names[0], prepared.dataset.series)}
