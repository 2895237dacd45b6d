"""A regressor and a classifier for River: trained models that go on learning from each label."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river.base import Classifier, Regressor

from ..engine.engine import Engine
from ..errors import DataError, ModelError
from ..learn.classes.kinds import has_logarithms, predicts_events, tells_classes
from ..network.model import Model
from ..network.online import Online

_STREAM = "river"
Array = NDArray[Any]


class _Steps:
    """One stream, stepped once by each observation, whether it is predicted or only learned from.

    Parameters
    ----------
    model : Model
    kept : int
        For how many of the last observations labels may come.
    """

    def __init__(self, model: Model, kept: int) -> None:
        self._model, self._kept = model, kept
        self._engine = Engine(model, capacity=1)
        self._events = {}
        if predicts_events(model):
            self._events = {name: number for number, name in enumerate(model.outputs)}
        self._seq = 0
        # What was predicted, by its number, as long as a label of it may come.
        self._waiting: dict[int, tuple[Hashable, Array]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a file needs: the stream's state in place of the engine."""
        state = None if self._seq == 0 else self._engine.export_stream(_STREAM)
        return {**self.__dict__, "_engine": state}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        """Go on from what a copy or a file holds."""
        self.__dict__ |= kept
        self._engine = Engine(self._model, capacity=1)
        if kept["_engine"] is not None:
            self._engine.import_stream(_STREAM, kept["_engine"])

    def predict(self, x: Mapping[str, Any]) -> Array:
        """Step by an observation, and return what the model says, until its label comes."""
        y = self._step(x)
        self._waiting[self._seq] = self._key(x), y
        return y

    def labelled(self, x: Mapping[str, Any]) -> tuple[int, Array]:
        """Return the number of an observation and what was said of it, stepping if nothing was."""
        key = self._key(x)
        for seq, (values, y) in self._waiting.items():
            if values == key:
                del self._waiting[seq]
                return seq, y
        y = self._step(x)
        return self._seq, y

    def learn(self, seq: int, labels: Sequence[float]) -> None:
        """Teach the stage of the model."""
        self._engine.learn(_STREAM, seq, labels)

    def _step(self, x: Mapping[str, Any]) -> Array:
        values = list(self._key(x))
        if self._events:
            values[0] = self._event(values[0])
        y = self._engine.step(_STREAM, np.array(values, np.float64), seq=self._seq + 1)
        self._seq += 1  # only now: an observation that was refused has no number
        while self._waiting and next(iter(self._waiting)) <= self._seq - self._kept:
            del self._waiting[next(iter(self._waiting))]  # its label never came
        return np.array(y)

    def _event(self, value: Any) -> Any:
        """Return the number of a category, which may be given by its name."""
        name = str(value)
        if name not in self._events and isinstance(value, str):
            raise DataError(
                f"expected an event of the model ({', '.join(self._model.outputs[:20])}), got "
                f"{value!r}"
            )
        return self._events.get(name, value)

    def _key(self, x: Mapping[str, Any]) -> tuple[Any, ...]:
        missing = [name for name in self._model.inputs if name not in x]
        if missing:
            raise DataError(
                f"expected the features {', '.join(self._model.inputs)}, got none of the name "
                f"{missing[0]!r}"
            )
        return tuple(x[name] for name in self._model.inputs)


def _loaded(model: Model | str | PathLike[str]) -> Model:
    return model if isinstance(model, Model) else Model.load(model)


class StreamRegressor(Regressor):  # type: ignore[misc] # River's are not read
    """A model under River's verbs, so that ``progressive_val_score`` and pipelines run.

    An observation is a step, made by ``predict_one``, or by ``learn_one`` where it was not
    predicted before. Where the model says labels of its own row, `learn_one` teaches its last layer
    (recursive least squares); where it forecasts one of its inputs, that input is the label, and y
    is ignored.

    Parameters
    ----------
    model : Model or path
        With one output.
    labels : int
        For how many of the last observations labels may come.

    Raises
    ------
    ModelError
        If the model has several outputs.
    """

    def __init__(self, model: Model | str | PathLike[str], labels: int = 100) -> None:
        model = _loaded(model)
        if model.output_size != 1:
            raise ModelError(
                f"expected a model with one output, this one has {', '.join(model.outputs)}."
            )
        self.model, self.labels = model, labels
        own_row = max(model.targets) < 0
        if own_row and labels and (model.online is None or not model.online.labels):
            model = model.with_online(Online(adapt="rls", labels=labels, targets=(-1,)))
        self._learns = model.online is not None and model.online.labels > 0
        kept = model.online.labels if model.online is not None and self._learns else max(labels, 1)
        self._steps = _Steps(model, kept)

    def predict_one(self, x: Mapping[str, Any]) -> float:
        """Step by an observation, and return the prediction."""
        return float(self._steps.predict(x)[0])

    def learn_one(self, x: Mapping[str, Any], y: float) -> None:
        """Learn what the prediction of an observation should have been."""
        label = float(y)
        seq, _ = self._steps.labelled(x)
        if self._learns:
            self._steps.learn(seq, [label])

    @classmethod
    def _unit_test_params(cls) -> Any:
        yield from ()


class StreamClassifier(Classifier):  # type: ignore[misc] # as above
    """A model of classes under River's verbs, so that ``progressive_val_score`` and pipelines run.

    An observation is a step, made by ``predict_one`` or ``predict_proba_one``, or by ``learn_one``
    where it was not predicted before. `learn_one` learns how frequent the classes are now: a number
    b for each class is added to the logarithm of its share before shares are made to sum to 1, and
    moved along the gradient of the cross entropy, ``b <- b + rate (label - share)``. The network
    itself stays as it is.

    Parameters
    ----------
    model : Model or path
        That tells classes, or next events, whose category may then be given by its name.
    classes : sequence of object, optional
        The labels, in the order of the model's outputs; by default the names of these.
    labels : int
        For how many of the last observations labels may come.
    rate : float
        How quickly it learns; 0 for not at all.

    Raises
    ------
    ModelError
        If the model tells no classes.
    DataError
        If ``classes`` has not one label for each output.
    """

    def __init__(
        self,
        model: Model | str | PathLike[str],
        classes: Sequence[Hashable] | None = None,
        labels: int = 100,
        rate: float = 0.02,
    ) -> None:
        model = _loaded(model)
        if not tells_classes(model):
            raise ModelError(
                "expected a model that tells classes (softmax), this one says numbers: "
                f"{', '.join(model.outputs)}."
            )
        self.model, self.classes, self.labels, self.rate = model, classes, labels, rate
        self._labels = tuple(model.outputs if classes is None else classes)
        if len(set(self._labels)) != model.output_size or len(self._labels) != model.output_size:
            raise DataError(
                f"classes: expected a label for each of {', '.join(model.outputs)}, got "
                f"{', '.join(map(str, self._labels))}"
            )
        self._logs = has_logarithms(model)
        self._moved = np.zeros(model.output_size)
        self._steps = _Steps(model, max(labels, 1))

    @property
    def _multiclass(self) -> bool:
        return True

    def predict_proba_one(self, x: Mapping[str, Any]) -> dict[Hashable, float]:
        """Step by an observation, and return the share of each class."""
        shares = self._shares(self._steps.predict(x))
        return dict(zip(self._labels, shares.tolist(), strict=True))

    def learn_one(self, x: Mapping[str, Any], y: Hashable) -> None:
        """Learn what the class of an observation was.

        Raises
        ------
        DataError
            If the model has no such class.
        """
        if y not in self._labels:
            raise DataError(
                f"expected one of the classes {', '.join(map(repr, self._labels[:20]))}, got "
                f"{y!r}; labels of other names are given by `classes`"
            )
        _, said = self._steps.labelled(x)
        error = -self._shares(said)
        error[self._labels.index(y)] += 1
        self._moved += self.rate * error

    def _shares(self, said: Array) -> Array:
        """Return the shares of the classes, moved by what was learned."""
        wide = said.astype(np.float64)
        logs = (wide if self._logs else np.log(np.maximum(wide, 1e-30))) + self._moved
        shares = np.exp(logs - logs.max())
        return np.asarray(shares / shares.sum())

    @classmethod
    def _unit_test_params(cls) -> Any:
        yield from ()
