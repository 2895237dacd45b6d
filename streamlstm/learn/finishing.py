"""What training ends with: the model of the fitted network, its online stage, and its scores."""

from __future__ import annotations

import json
from pathlib import Path

from .. import __version__
from ..network.model import Model
from .build import build_model
from .classes.dataset import ClassDataset
from .classes.scores import score_classes
from .differences import with_counters
from .evaluation.held_back import evaluate_held_back
from .fit import FitResult, learning_curve
from .objective import objective_of
from .periods import describe_periods
from .preparation import Preparation
from .quantiles import calibration
from .scores import score
from .settings import NetworkSettings, OptimizationSettings
from .stage import add_stage, coverage, predict_all
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
    scores = score(dataset, made[:, points], settings.outputs, prepared.season)
    model.metadata["scores"] = json.dumps([vars(score) for score in scores])
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
        evaluation=evaluate_held_back(
            model,
            prepared.table,
            dataset.series,
            results,
            prepared.season,
            learning_curve(fitted.history),
        ),
    )


def _finish_classes(
    prepared: Preparation, fitted: FitResult, model: Model, dataset: ClassDataset
) -> Trained:
    """Score the classes on the test period; there is no online stage, which is for numbers."""
    results = predict_all(model, dataset)
    scores = score_classes(dataset, results)
    model.metadata["scores"] = json.dumps(scores.summary())
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
    )


def _metadata(prepared: Preparation, fitted: FitResult) -> dict[str, str]:
    """Return the metadata of the model file, the same in every run of the same training."""
    settings, best, sweep = prepared.settings, fitted.best, prepared.sweep
    tried = {} if sweep is None else {"sweep": json.dumps(sweep.summary())}
    if settings.sequence_column:
        tried["sequence_column"] = settings.sequence_column
    return (
        tried
        | {
            "made_by": f"streamlstm train {__version__}",
            "data": Path(prepared.table.path).name,
            "targets": json.dumps(settings.target or [settings.class_column]),
            "settings": json.dumps(
                settings.of(NetworkSettings, OptimizationSettings)
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
    """Return by which rows the table is recognised: those of a numeric column, if it has one."""
    names = (*prepared.settings.target, *prepared.table.names)
    if not names:
        return {}
    return {"periods": describe_periods(prepared.table, names[0], prepared.dataset.series)}
