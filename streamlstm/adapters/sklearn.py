"""A regressor and a classifier for scikit-learn whose rows are steps of streams.

The rows of X are in the order of time. A prediction depends on its row and on those before it in
the same stream, so rows must not be shuffled: cross-validate with ``TimeSeriesSplit``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from ..errors import DataError
from ..learn.trained import Trained
from ..network.model import Model
from .sequences import predict_labels, train_on_classes, train_on_labels

Array = NDArray[Any]


class _StreamEstimator(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """What both have: the settings, and fitting to labels.

    Parameters
    ----------
    hidden : int or sequence of int
        Hidden units of each layer.
    layers : int
        Number of layers.
    cell : {"lstm", "gru", "rnn"}
    epochs : int
        At most; training ends earlier where the last rows of each stream get no better.
    window : int
        Steps that gradients flow back.
    batch : int
        Windows per update.
    rate : float
        Initial learning rate.
    dropout : float
        Dropout rate between layers.
    validation_fraction : float
        Part of each stream, at its end, that decides when training ends.
    random_state : int, RandomState or None
        The same integer gives the same model.
    """

    model_: Model
    trained_: Trained

    def __init__(
        self,
        hidden: int | Sequence[int] = 32,
        layers: int = 1,
        cell: str = "lstm",
        epochs: int = 100,
        window: int = 32,
        batch: int = 8,
        rate: float = 1e-2,
        dropout: float = 0.0,
        validation_fraction: float = 0.2,
        random_state: Any = 0,
    ) -> None:
        self.hidden = hidden
        self.layers = layers
        self.cell = cell
        self.epochs = epochs
        self.window = window
        self.batch = batch
        self.rate = rate
        self.dropout = dropout
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _names(self, X: Array) -> list[str]:
        names = getattr(self, "feature_names_in_", [f"x{n}" for n in range(X.shape[1])])
        return list(map(str, names))

    def _settings(self) -> dict[str, Any]:
        part = self.validation_fraction
        return {
            "hidden": self.hidden,
            "layers": self.layers,
            "cell": self.cell,
            "epochs": self.epochs,
            "window": self.window,
            "batch": self.batch,
            "rate": self.rate,
            "dropout": self.dropout,
            "train_fraction": 1 - part,
            "validation_fraction": part,
            "seed": int(check_random_state(self.random_state).randint(2**31 - 1)),
        }

    def _predict(self, X: Any, streams: Any) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return predict_labels(self.model_, X, _check_streams(streams, X))


class StreamRegressor(RegressorMixin, _StreamEstimator):  # type: ignore[misc] # as above
    """Predicts the numbers that belong to each row from it and the rows before: y[t] from X[..t].

    Attributes
    ----------
    model_ : Model
        Ready to be served; ``model_.save(path)`` writes it.
    trained_ : Trained
        The history of the training.
    n_features_in_, feature_names_in_, n_iter_
        As in scikit-learn.

    Examples
    --------
    >>> from streamlstm.adapters.sklearn import StreamRegressor  # doctest: +SKIP
    >>> StreamRegressor(epochs=20).fit(X, y).predict(X)  # doctest: +SKIP
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, streams: Any = None) -> Self:
        """Train on rows in the order of time.

        Parameters
        ----------
        X : array-like [n, F]
        y : array-like [n] or [n, O]
        streams : array-like [n], optional
            The stream of each row; all rows are one stream without it.
        """
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, dtype=np.float64)
        self._many = y.ndim == 2
        self.trained_, self.model_ = train_on_labels(
            X,
            y.reshape(len(X), -1),
            _check_streams(streams, X),
            self._names(X),
            **self._settings(),
        )
        self.n_iter_ = self.trained_.history[-1].number
        return self

    def predict(self, X: Any, streams: Any = None) -> Array:
        """Predict for rows in the order of time, each stream from a fresh state.

        Returns
        -------
        float64[n] or float64[n, O]
        """
        made = self._predict(X, streams)
        return made if self._many else made[:, 0]


class StreamClassifier(ClassifierMixin, _StreamEstimator):  # type: ignore[misc] # as above
    """Tells the class of each row from it and the rows before: y[t] from X[..t].

    Attributes
    ----------
    classes_ : array[C]
    model_ : Model
        Ready to be served: its outputs are the probabilities of the classes.
    trained_ : Trained
        The history of the training.
    n_features_in_, feature_names_in_, n_iter_
        As in scikit-learn.
    """

    def fit(self, X: Any, y: Any, streams: Any = None) -> Self:
        """Train on rows in the order of time.

        Parameters
        ----------
        X : array-like [n, F]
        y : array-like [n]
        streams : array-like [n], optional
            The stream of each row; all rows are one stream without it.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(
                f"y: expected two classes or more, got one class, {str(self.classes_[0])!r}"
            )
        self.trained_, self.model_ = train_on_classes(
            X,
            codes,
            _check_streams(streams, X),
            self._names(X),
            list(map(str, self.classes_)),
            **self._settings(),
        )
        self.n_iter_ = self.trained_.history[-1].number
        return self

    def predict_proba(self, X: Any, streams: Any = None) -> Array:
        """Return the probability of each class, float64[n, C], each stream from a fresh state."""
        made = self._predict(X, streams)
        return np.asarray(made / made.sum(axis=1, keepdims=True))

    def predict(self, X: Any, streams: Any = None) -> Array:
        """Return the likeliest class of each row, array[n]."""
        likeliest = self.predict_proba(X, streams).argmax(axis=1)
        return np.asarray(self.classes_[likeliest])


def _check_streams(streams: Any, X: Array) -> Array | None:
    if streams is None:
        return None
    found = np.asarray(streams)
    check_consistent_length(X, found)
    return found
