"""Comparison of a converted model with the network that it was made from."""

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from ..data.options import ReadOptions
from ..data.read import read_table
from ..errors import ConvertError
from ..network.model import Model
from ..network.scaling import Scaling
from . import reference_outputs as sources
from .common.options import categories_of
from .comparison import WINDOWS, Comparison, Compute, Float32Array, judge
from .detect import detect
from .formats import FORMATS, MODEL_OPTIONS
from .load import load_any

STEPS = 200
# Options that add something to a network, which the source framework does not compute. A model
# that has it without the option is compared by its layers.
ADDED = ("skip", "skip_scale", "input_scaling", "output_scaling")


def compare(
    model: Model,
    source: Any,
    *,
    data: Any = None,
    seed: int = 0,
    **options: Any,
) -> Comparison:
    """Compare a converted model with the network that it was made from, step by step.

    Parameters
    ----------
    model : Model
    source : path, or torch.nn.Module
        The file that it was converted from, which its own software computes, or what
        :func:`streamlstm.load_any` says about its format.
    data : float[T, F], path, frame or dict, optional
        Observations that the network was made for: an array in the order of the model's inputs, or
        a table, whose columns are found by their names; rows with gaps are left out. Random numbers
        if left out: noise, a slow walk and a wave, in the unit of the model's input scaling.
    seed : int
        Of the random numbers.
    **options
        Those of the conversion. Skips and scaling that the model has and the source has not are
        left out of the comparison, whether they are given here or not.

    Returns
    -------
    Comparison
        What ``streamlstm convert --check`` prints.

    Raises
    ------
    ConvertError
        If nothing can compute the source, or the data or the source do not fit the model.
    DataError
        If a table cannot be read, or lacks an input of the model.

    Examples
    --------
    >>> model = sl.from_torch(network)  # doctest: +SKIP
    >>> sl.compare(model, network).agrees  # doctest: +SKIP
    True
    """
    X = None if data is None else _check_data(model, data)
    plain, added = _without_added(model, source, options)
    if X is not None and "input_scaling" in added:
        X = np.asarray(model.input_scaling.apply(X), np.float32)
    model = plain
    if X is None:
        X = _random_inputs(model, seed)
    compute = _computation(source, model, options)
    given = "random numbers" if data is None else f"{len(X)} rows of data"
    return judge(model, compute, X, given, added)


def _without_added(
    model: Model, source: Any, options: Mapping[str, Any]
) -> tuple[Model, tuple[str, ...]]:
    """Return a model without what its source does not contain, and the names of that.

    Raises
    ------
    ConvertError
        If it has that, and other weights than the source.
    """
    named = {key for key in ADDED if options.get(key) is not None}
    if not named and not _has_added(model):
        return model, ()
    plain = {key: value for key, value in options.items() if key not in ADDED}
    made = _convert(source, _made_with(model) | plain)
    found = {key for key in ADDED if _differs(getattr(model, key), getattr(made, key))}
    added = tuple(key for key in ADDED if key in named | found)
    if not added:
        return model, ()
    if not _same_layers(model, made):
        raise ConvertError(
            f"compare: the model has {' and '.join(added)}, which the source has not, and other "
            "weights than it; expected the model as it was converted, or the source it is from."
        )
    return made, added


def _made_with(model: Model) -> dict[str, Any]:
    """Return what a model says of how it was converted: inputs, window, and which output."""
    said: dict[str, Any] = {"window": model.window}
    if len(model.inputs) == model.layers[0].input_size:  # a calendar's have no names
        said["inputs"] = model.inputs
    if model.window is not None:
        said["start"] = model.start
    if "source_output" in model.metadata:
        said["output"] = model.metadata["source_output"]
    return said


def _has_added(model: Model) -> bool:
    scalings = (model.input_scaling, model.output_scaling)
    return model.skip is not None or any(s.mean.any() or (s.scale != 1).any() for s in scalings)


def _differs(a: Any, b: Any) -> bool:
    """Tell whether two scalings, or what stands for skips, are others."""
    if isinstance(a, Scaling) and isinstance(b, Scaling):
        return not (np.array_equal(a.mean, b.mean) and np.array_equal(a.scale, b.scale))
    return not np.array_equal(np.asarray(a), np.asarray(b))


def _same_layers(model: Model, other: Model) -> bool:
    """Tell whether two models have the same layers with the same weights."""
    return model.layers == other.layers and all(
        mine.keys() == theirs.keys()
        and all(np.array_equal(array, theirs[name]) for name, array in mine.items())
        for mine, theirs in zip(model.weights, other.weights, strict=True)
    )


def _convert(source: Any, options: Mapping[str, Any]) -> Model:
    if isinstance(source, str | PathLike):
        return load_any(source, **options)
    from .torch.importer import from_torch

    return from_torch(source, **options)


def _computation(source: Any, model: Model, options: Mapping[str, Any]) -> Compute:
    """Return what computes the source for X[T, F]."""
    own = {key: value for key, value in options.items() if key not in MODEL_OPTIONS}
    if isinstance(source, str | PathLike):
        kind = detect(source)
        if not FORMATS[kind].evaluators:
            raise ConvertError(
                f"{source}: is already a model file; there is nothing to compare with."
            )
        if kind == "torch":
            own["window"] = model.window  # which a module and TorchScript do not say
            own.setdefault("output", model.metadata.get("source_output"))
        return lambda X: sources.reference_outputs(
            source, kind, X.astype(np.float64), model.output_size, **own
        )
    if not hasattr(source, "named_modules") and type(source).__name__ != "ExportedProgram":
        raise ConvertError(
            f"compare: expected the file of a network or a torch.nn.Module, got "
            f"{type(source).__name__}."
        )
    from .torch.evaluate import evaluate_module, evaluate_program
    from .torch.program import describe, is_program

    output = options.get("output", model.metadata.get("source_output"))
    if is_program(source):
        return lambda X: sources.ReferenceOutputs(
            evaluate_program(source, X.astype(np.float64), model.window, output), describe(source)
        )
    return lambda X: sources.ReferenceOutputs(
        evaluate_module(source, X.astype(np.float64), model.window, output=output),
        "PyTorch, the module's own forward",
    )


def _random_inputs(model: Model, seed: int) -> Float32Array:
    """Return noise, then a slow walk, then a wave, in the unit of the series."""
    rng = np.random.default_rng(seed)
    rows = STEPS if model.window is None else model.window + WINDOWS - 1
    F, third = model.input_size, -(-rows // 3)
    walk = np.cumsum(rng.standard_normal((third, F)), axis=0) / np.sqrt(third) * 2
    phase = np.arange(third)[:, None] / 9 + rng.uniform(0, 6, F)
    parts = [rng.standard_normal((third, F)), walk, 2 * np.sin(phase)]
    X = model.input_scaling.invert(np.concatenate(parts)[:rows])
    if model.categories:
        X[:, 0] = rng.integers(0, model.categories, rows)
    for column, count in categories_of(model.metadata).items():
        X[:, column] = rng.integers(0, count, rows)
    return np.asarray(X, np.float32)


def _check_data(model: Model, data: Any) -> Float32Array:
    if not isinstance(data, np.ndarray | list | tuple):
        table = read_table(data, ReadOptions(missing=True)).select(model.inputs)
        data = table[np.isfinite(table).all(axis=1)]
    X = np.asarray(data, np.float32)
    rows = 1 if model.window is None else model.window
    if X.ndim != 2 or X.shape[1] != model.input_size or len(X) < rows:
        raise ConvertError(
            f"data: expected {rows} or more rows of the {model.input_size} inputs "
            f"{', '.join(model.inputs)}, got shape {X.shape}."
        )
    if not np.isfinite(X).all():
        raise ConvertError("data: expected numbers in all rows: leave those with gaps out.")
    return X[: 5 * STEPS]
