"""A regressor for River: a trained model that goes on learning from each label."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from river.base import Regressor

from ..engine.engine import Engine
from ..errors import DataError, ModelError
from ..network.model import Model
from ..network.online import Online

_STREAM = "river"


class StreamRegressor(Regressor):  # type: ignore[misc] # River's are not read
    """A model under River's verbs, so that ``progressive_val_score`` and pipelines run.

    An observation is a step, made by ``predict_one``, or by ``learn_one`` where it was not
    predicted before. Where the model says labels of its own row, `learn_one` teaches its last layer
    (recursive least squares); where it forecasts one of its inputs, that input is the label, and y
    is ignored.

    Parameters
    ----------
    model : Model
        With one output.
    labels : int
        For how many of the last observations labels may come.

    Raises
    ------
    ModelError
        If the model has several outputs.
    """

    def __init__(self, model: Model, labels: int = 100) -> None:
        if model.output_size != 1:
            raise ModelError(
                f"expected a model with one output, this one has {', '.join(model.outputs)}."
            )
        self.model, self.labels = model, labels
        own_row = max(model.targets) < 0
        if own_row and labels and (model.online is None or not model.online.labels):
            model = model.with_online(Online(adapt="rls", labels=labels, targets=(-1,)))
        self._engine = Engine(model, capacity=1)
        self._learns = model.online is not None and model.online.labels > 0
        self._kept = max(labels, 1)
        if model.online is not None and model.online.labels:
            self._kept = model.online.labels
        self._seq = 0
        # The values of what was predicted, by its number, as long as a label of it may come.
        self._waiting: dict[int, Hashable] = {}

    def predict_one(self, x: Mapping[str, Any]) -> float:
        """Step by an observation, and return the prediction."""
        y = self._step(x)
        self._waiting[self._seq] = self._key(x)
        return y

    def learn_one(self, x: Mapping[str, Any], y: float) -> None:
        """Learn what the prediction of an observation should have been."""
        label = float(y)
        key = self._key(x)
        seq = next((number for number, values in self._waiting.items() if values == key), 0)
        if seq:
            del self._waiting[seq]
        else:
            self._step(x)
            seq = self._seq
        if self._learns:
            self._engine.learn(_STREAM, seq, [label])

    def _step(self, x: Mapping[str, Any]) -> float:
        values = np.array(self._key(x), np.float64)
        y = float(self._engine.step(_STREAM, values, seq=self._seq + 1)[0])
        self._seq += 1  # only now: an observation that was refused has no number
        while self._waiting and next(iter(self._waiting)) <= self._seq - self._kept:
            del self._waiting[next(iter(self._waiting))]  # its label never came
        return y

    def _key(self, x: Mapping[str, Any]) -> Hashable:
        missing = [name for name in self.model.inputs if name not in x]
        if missing:
            raise DataError(
                f"expected the features {', '.join(self.model.inputs)}, got none of the name "
                f"{missing[0]!r}"
            )
        return tuple(x[name] for name in self.model.inputs)

    @classmethod
    def _unit_test_params(cls) -> Any:
        yield from ()
