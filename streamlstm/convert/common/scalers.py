"""Scalers beside a network: JSON, scikit-learn's, or what ``vars()`` of those gives.

Each becomes a :class:`streamlstm.Scaling`, a shift and a scale for each column. What is more than
that (PCA, a ColumnTransformer, a logarithm) is refused.
"""

import json
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np

from ...errors import ConvertError, ModelError
from ...files import check_path
from ...network.scaling import Scaling
from .weights import Float64Array, to_float64

_COLUMNS = (
    "a ColumnTransformer treats columns differently: give a JSON file with the mean and scale that "
    "each column ends up with"
)
# What tells that something is more than a shift and a scale, and why.
_MORE = {
    "transformers": _COLUMNS,
    "transformers_": _COLUMNS,
    "components_": "it mixes columns (PCA or the like), which is no scaling: apply it in your own "
    "program, or train the network on the columns themselves",
    "steps": "a Pipeline has several steps: give the scaler among them",
    "lambdas_": "a PowerTransformer is no shift and scale: apply it in your own program",
    "quantiles_": "a QuantileTransformer is no shift and scale: apply it in your own program",
    "norm": "a Normalizer scales each row by itself: apply it in your own program",
}
_FORMS = (
    'expected {"mean": [...], "scale": [...]}, {"min": [...], "max": [...]}, one of these for each '
    'name ({"load": {"mean": 20, "scale": 5}}), or what vars() gives of a StandardScaler, '
    "MinMaxScaler, RobustScaler or MaxAbsScaler of scikit-learn"
)


def as_scaling(
    given: Any, side: str, size: int, names: Sequence[str] | None = None
) -> tuple[Scaling, tuple[str, ...] | None]:
    """Return the scaling that something describes, and the names of its columns if it has any.

    Parameters
    ----------
    given : Scaling, path of a JSON file, mapping, or a fitted scaler of scikit-learn
    side : str
        "inputs" or "outputs": the part of a file that has both.
    size : int
        Number of columns.
    names : sequence of str, optional
        Names of these columns; a scaler of more columns has to name them.

    Raises
    ------
    ConvertError
        If it is none of these, is more than a shift and a scale, or has other columns.
    """
    if isinstance(given, Scaling):
        return given, None
    where = f"the scaling of the {side}"
    if isinstance(given, str | PathLike):
        where = fspath(given)
        given = _read(where)
    elif not isinstance(given, Mapping):
        given = vars(given) if hasattr(given, "__dict__") else given
    if not isinstance(given, Mapping):
        raise ConvertError(f"{where}: {_FORMS}, got {type(given).__name__}.")
    if isinstance(given.get(side), Mapping):
        given = given[side]
    found, mean, scale = _columns(where, given)
    if found is None and len(mean) == 1 and size > 1:
        mean, scale = np.repeat(mean, size), np.repeat(scale, size)
    if len(mean) != size or (found and names and set(found) >= set(names)):
        found, mean, scale = _chosen(where, side, size, names, found, mean, scale)
    try:
        return Scaling(mean.astype(np.float32), scale.astype(np.float32)), found
    except ModelError as error:
        raise ConvertError(f"{where}: {error}") from None


def load_pickle(path: str | PathLike[str]) -> Any:
    """Return what a pickle or joblib file holds. This runs the code that is in the file.

    Raises
    ------
    ConvertError
        If it cannot be loaded.
    """
    try:
        try:
            import joblib
        except ImportError:
            import pickle

            with open(path, "rb") as file:
                return pickle.load(file)
        return joblib.load(path)
    except Exception as error:  # of any type: it is code of others
        raise ConvertError(f"{fspath(path)}: cannot be loaded as a pickle: {error}.") from None


def is_pickle(path: str | PathLike[str]) -> bool:
    """Return whether a file is a pickle, maybe compressed, and not JSON."""
    with open(check_path(path, ConvertError, "a file of a scaler"), "rb") as file:
        start = file.read(2)
    return start[:1] in (b"\x80", b"x", b"\x1f", b"B", b"\xfd", b"(")


def _read(name: str) -> Any:
    if not check_path(name, ConvertError, "a file of a scaler").is_file():
        raise ConvertError(f"{name}: there is no such file.")
    if is_pickle(name):
        raise ConvertError(
            f"{name}: is a pickle (joblib), and loading one runs the code in it. Write what it "
            "holds as JSON: json.dump({k: getattr(v, 'tolist', lambda: v)() for k, v in "
            "vars(scaler).items() if not callable(v)}, file). Or load it yourself and give the "
            "scaler; on the command line --unsafe-pickle loads it."
        )
    try:
        with open(name, encoding="utf-8-sig") as file:
            return json.load(file)
    except (ValueError, RecursionError) as error:
        raise ConvertError(f"{name}: expected JSON, which this is not: {error}.") from None


Columns = tuple[tuple[str, ...] | None, Float64Array, Float64Array]


def _columns(where: str, given: Mapping[str, Any]) -> Columns:
    """Return names, mean and scale of the columns."""
    for key, reason in _MORE.items():
        if key in given:
            raise ConvertError(f"{where}: {reason}.")
    if given and all(isinstance(value, Mapping) for value in given.values()):
        by_name = set(given) & {"mean", "scale", "std", "min", "max"}
        if by_name:
            names = tuple(next(iter(given.values())))
            plain = {key: [column.get(n) for n in names] for key, column in given.items()}
            return names, *_shift_and_scale(where, plain)
        parts = [_shift_and_scale(f"{where}: {name}", column) for name, column in given.items()]
        mean, scale = (np.concatenate(side) for side in zip(*parts, strict=True))
        return tuple(map(str, given)), mean, scale
    named = given.get("feature_names_in_", given.get("names"))
    names_in = None if named is None else tuple(str(n) for n in named)
    mean, scale = _shift_and_scale(where, given)
    if names_in is not None and len(names_in) != len(mean):
        raise ConvertError(f"{where}: has {len(names_in)} names and {len(mean)} columns.")
    return names_in, mean, scale


def _shift_and_scale(where: str, given: Mapping[str, Any]) -> tuple[Float64Array, Float64Array]:
    """Return ``mean`` and ``scale`` of ``z = (x - mean) / scale``."""

    def has(*keys: str) -> bool:
        return all(given.get(key) is not None for key in keys)

    def vector(key: str) -> Float64Array:
        return np.atleast_1d(to_float64(given[key], f"{where}: {key}"))

    if given.get("clip"):
        raise ConvertError(
            f"{where}: clip=True bounds what lies beyond the data of training, which a scaling "
            "does not: train with clip=False, or bound the values in your own program."
        )
    if has("min_", "scale_"):  # MinMaxScaler: z = x * scale_ + min_
        return -vector("min_") / vector("scale_"), 1 / vector("scale_")
    if has("center_") or has("max_abs_") or has("mean_") or has("scale_") or has("var_"):
        scale = vector("scale_") if has("scale_") else None
        if scale is None and has("max_abs_"):
            scale = vector("max_abs_")
        if scale is None and has("var_") and given.get("with_std", True):
            scale = np.sqrt(vector("var_"))
        centre = next((vector(key) for key in ("center_", "mean_") if has(key)), None)
        if centre is not None and given.get("with_mean", True) is False:
            centre = None
        return _both(where, centre, scale)
    low, high = ("data_min_", "data_max_") if has("data_min_") else ("min", "max")
    if has(low, high):
        start, end = given.get("feature_range", (0, 1))
        width = (vector(high) - vector(low)) / (end - start)
        width = np.where(width == 0, 1.0, width)  # as scikit-learn does with a constant column
        return vector(low) - start * width, width
    keys = {"mean": "mean", "scale": "scale" if has("scale") else "std"}
    if not has("mean") and not has(keys["scale"]):
        raise ConvertError(f"{where}: {_FORMS}; found {', '.join(map(str, given)) or 'nothing'}.")
    centre, scale = (vector(key) if has(key) else None for key in keys.values())
    return _both(where, centre, scale)


def _both(
    where: str, centre: Float64Array | None, scale: Float64Array | None
) -> tuple[Float64Array, Float64Array]:
    known = centre if centre is not None else scale
    if known is None:
        raise ConvertError(f"{where}: {_FORMS}.")
    centre = np.zeros(len(known)) if centre is None else centre
    scale = np.ones(len(known)) if scale is None else scale
    if centre.shape != scale.shape or centre.ndim != 1:
        raise ConvertError(
            f"{where}: expected one mean and one scale for each column, got shapes "
            f"{centre.shape} and {scale.shape}."
        )
    return centre, scale


def _chosen(
    where: str,
    side: str,
    size: int,
    names: Sequence[str] | None,
    found: tuple[str, ...] | None,
    mean: Float64Array,
    scale: Float64Array,
) -> Columns:
    """Return the columns of the given names, in their order."""
    if found is None or names is None or not set(found) >= set(names):
        has = f"{len(mean)} columns" if found is None else f"the columns {', '.join(found)}"
        wanted = f"{size} {side}" if names is None else f"the {side} {', '.join(names)}"
        raise ConvertError(
            f"{where}: has {has}, and the network {wanted}. Give {side}= (--{side}) with names of "
            "its columns, or a file with these columns only."
        )
    places = [found.index(name) for name in names]
    return tuple(names), mean[places], scale[places]
