"""What a network answers where it comes from, to be held against what it answers here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from os import PathLike, fspath
from typing import Any

import numpy as np

from ..errors import ConvertError
from . import evaluate
from .common.weights import Float64Array, first_line
from .keras.file import read_keras

# Keywords of the readers that fill in what a file leaves open.
TOLD = ("activations", "rnn_activation", "epsilon", "output")
_LAYERS_ONLY = (
    "its layers one by one only: a state dict does not say what forward does between them"
)
Whole = Callable[[Float64Array], Any]  # from a sequence x[T, F] to what the source gives for it


@dataclass(frozen=True)
class Answers:
    """Answers of the source.

    Attributes
    ----------
    values : float64[N, O]
        For the last N observations that were asked for.
    by : str
        Who gave them.
    """

    values: Float64Array
    by: str


def answers(
    path: str | PathLike[str], kind: str, X: Float64Array, outputs: int, **told: Any
) -> Answers:
    """Return what the source of a file answers to ``X[T, F]``.

    The framework's own runtime is asked where it is installed, else the network is computed in
    float64 straight from the arrays of the file.

    Parameters
    ----------
    path : path
    kind : str
        What :func:`streamlstm.convert.detect.detect` said of it.
    X : float64[T, F]
    outputs : int
        O.
    **told
        What the reader was told that the file does not say: ``activations``, ``rnn_activation``
        and ``epsilon`` of a state dict, ``output`` of an ONNX graph.

    Raises
    ------
    ConvertError
        If there is nothing to ask.
    """
    problem = "no runtime of that kind is installed"
    for ask, by in _ways(fspath(path), kind, outputs, told):
        try:
            return Answers(ask(X), f"{by}, {_LAYERS_ONLY}" if kind == "torch" else by)
        except Exception as error:  # a runtime's own; the next way may work
            problem = f"{by}: {first_line(error)}"
    raise ConvertError(f"{fspath(path)}: cannot be checked: {problem}.")


def _ways(path: str, kind: str, O: int, told: dict[str, Any]) -> Iterator[tuple[Whole, str]]:
    by_arrays = "its arrays, in float64"
    if kind == "keras":
        module = _keras_module(path)
        if module:
            yield lambda X: _by_keras(module, path, X, O), f"{module}"
        yield lambda X: evaluate.keras(path, X), by_arrays
    elif kind == "rtneural":
        yield lambda X: evaluate.rtneural(path, X), by_arrays
    elif kind == "guitarml":
        yield lambda X: evaluate.guitarml(path, X), by_arrays
    elif kind == "torch":
        from .torch.evaluate import by_torch

        yield lambda X: by_torch(path, X, **told), "PyTorch"
    elif kind == "onnx":
        from .onnx.evaluate import by_onnx

        yield lambda X: by_onnx(path, X, O, **told), "ONNX"


def sequences(whole: Whole, X: Float64Array, O: int) -> Float64Array:
    """Return answers for each observation, whether the source gives all of them or the last.

    Parameters
    ----------
    whole : callable
        Answers to a sequence, ``[T, O]`` or ``[O]`` in any number of brackets.
    X : float64[T, F]
    O : int
    """
    given = np.asarray(whole(X), np.float64)
    if given.size == len(X) * O:
        return given.reshape(len(X), O)
    if given.size != O:
        raise ConvertError(f"expected {len(X)} x {O} or {O} answers, got {given.size}.")
    each = [np.asarray(whole(X[: t + 1]), np.float64).reshape(O) for t in range(len(X) - 1)]
    return np.stack([*each, given.reshape(O)])


def _keras_module(path: str) -> str | None:
    """Return the installed Keras that computes as the one that wrote the file, if there is one."""
    major = read_keras(path).major
    for name in ("tf_keras", "keras") if major == 2 else ("keras",):
        if find_spec(name) is None:
            continue
        from importlib.metadata import version

        if version(name.replace("_", "-")).startswith(f"{major}."):
            return name
    return None


def _by_keras(module: str, path: str, X: Float64Array, O: int) -> Float64Array:
    from importlib import import_module

    model = import_module(module).models.load_model(path, compile=False)
    shape = model.input_shape

    def ask(x: Float64Array) -> Any:
        given = x.astype(np.float32)
        if len(shape) == 2 and (len(x) > 1 or shape[-1] in (None, len(x))):
            given = given[:, 0]
        return model.predict_on_batch(given[None])

    if len(shape) == 2 and shape[1] == X.shape[1] > 1:  # no sequence at all: one row a question
        return np.asarray(model.predict_on_batch(X.astype(np.float32)), np.float64)
    if len(shape) == 3 and shape[1] == 1:  # one step a question; stateful, if it has a memory
        steps = [model.predict_on_batch(x[None, None].astype(np.float32)) for x in X]
        return np.stack([np.asarray(y, np.float64).reshape(O) for y in steps])
    return sequences(ask, X, O)
