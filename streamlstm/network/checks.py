"""Checks of the arguments of a model; each returns the argument in its final form.

All raise ModelError with what was expected, what came, and for which layer, input or output.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ModelError, shown
from .arrays import Float32Array, as_float32
from .layers import Embedding, Layer
from .online import MAX_HORIZON as STAGE_HORIZON
from .online import Online
from .scaling import Scaling

_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_HORIZON = 2**31 - 1
MAX_LAG = 2**16


def check_chain(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers; each must take as many values as the one before it returns."""
    chain = _as_tuple("layers", layers)
    if not chain:
        raise ModelError("expected at least one layer, got none.")
    for n, layer in enumerate(chain):
        if not isinstance(layer, Layer):
            raise ModelError(
                f"layer {n}: expected a layer such as LSTM(2, 8), got {shown(layer)} "
                f"({type(layer).__name__})."
            )
    for n, (before, layer) in enumerate(pairwise(chain), start=1):
        if isinstance(layer, Embedding):
            raise ModelError(f"layer {n} is an embedding: expected it to be the first layer.")
        if layer.input_size != before.output_size:
            raise ModelError(
                f"layer {n} ({layer.kind}) takes {layer.input_size} values, but layer {n - 1} "
                f"({before.kind}) returns {before.output_size}."
            )
    return chain


def check_weights(
    layers: Sequence[Layer], weights: Sequence[Mapping[str, ArrayLike]]
) -> tuple[dict[str, Float32Array], ...]:
    """Return the arrays of each layer as float32; names and shapes must be the layer's."""
    weights = _as_tuple("weights", weights)
    if len(weights) != len(layers):
        raise ModelError(f"expected weights for {len(layers)} layers, got {len(weights)} sets.")
    return tuple(
        _check_layer_weights(f"layer {n} ({layer.kind})", layer, arrays)
        for n, (layer, arrays) in enumerate(zip(layers, weights, strict=True))
    )


def _check_layer_weights(
    where: str, layer: Layer, weights: Mapping[str, ArrayLike]
) -> dict[str, Float32Array]:
    shapes = layer.parameters()
    if not isinstance(weights, Mapping):
        raise ModelError(
            f"{where}: expected a dict of its arrays by name, {', '.join(shapes) or 'empty here'}; "
            f"got {type(weights).__name__}."
        )
    for name in shapes.keys() - weights.keys():
        raise ModelError(f"{where} lacks {name}, shape {shapes[name]}.")
    for name in weights.keys() - shapes.keys():
        raise ModelError(f"{where} has no parameter {shown(name)}; it has {', '.join(shapes)}.")
    arrays = {name: as_float32(f"{where} {name}", weights[name]) for name in shapes}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ModelError(f"{where} {name}: expected shape {shape}, got {arrays[name].shape}.")
    return arrays


def check_names(what: str, names: Sequence[str] | None, letter: str, n: int) -> tuple[str, ...]:
    """Return ``n`` distinct names; by default the letter and a number."""
    if names is None:
        return tuple(f"{letter}{index}" for index in range(n))
    if isinstance(names, str) or not all(map(_is_name, given := _as_tuple(what, names))):
        raise ModelError(f"{what}: expected a sequence of {n} names, got {shown(names)}.")
    if len(given) != n:
        raise ModelError(f"{what}: expected {n} names, got {len(given)}: {', '.join(given)}.")
    if len(set(given)) != n:
        raise ModelError(f"{what}: expected every name once, got {', '.join(given)}.")
    return given


def _is_name(name: object) -> bool:
    """Tell whether this is text that a model file can hold: not empty, without lone surrogates."""
    return isinstance(name, str) and name != "" and not _SURROGATE.search(name)


def check_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return the metadata as text by text."""
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ModelError(
            f"metadata: expected a dict of texts by name, got {type(metadata).__name__}."
        )
    texts = {_text(key): _text(value) for key, value in (metadata or {}).items()}
    for text in (*texts, *texts.values()):
        if _SURROGATE.search(text):
            raise ModelError(f"metadata: expected text that can be UTF-8, got {shown(text)}.")
    return texts


def _text(value: object) -> str:
    return value if isinstance(value, str) else shown(value)


def _as_tuple(what: str, values: Iterable[Any]) -> tuple[Any, ...]:
    try:
        return tuple(values)
    except Exception:
        raise ModelError(f"{what}: expected a sequence, got {type(values).__name__}.") from None


def check_scaling(
    what: str, scaling: Scaling | None, n: int, first_is_category: bool = False
) -> Scaling:
    """Return a scaling of ``n`` columns, by default the identity; a category is not scaled."""
    if scaling is None:
        return Scaling.identity(n)
    if not isinstance(scaling, Scaling):
        raise ModelError(f"{what}: expected a Scaling, got {type(scaling).__name__}.")
    if scaling.mean.shape != (n,):
        raise ModelError(f"{what}: expected {n} columns, got {scaling.mean.shape[0]}.")
    if first_is_category and (scaling.mean[0], scaling.scale[0]) != (0, 1):
        raise ModelError(f"{what}: expected 0 and 1 for the category in the first input.")
    return scaling


def check_skip(
    skip: Sequence[int] | None, input_size: int, output_size: int
) -> tuple[int, ...] | None:
    """Return for each output the index of the input that is added, or None if there is none."""
    if skip is None:
        return None
    indices = _as_tuple("skip", skip)
    whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in indices)
    if (
        not whole
        or len(indices) != output_size
        or not all(-1 <= index < input_size for index in indices)
    ):
        raise ModelError(
            f"skip: expected for each of {output_size} outputs an input's index from 0 to "
            f"{input_size - 1}, or -1 for none; got {shown(indices)}."
        )
    return None if all(index < 0 for index in indices) else tuple(map(int, indices))


def check_skip_scale(
    scale: ArrayLike | None, skip: tuple[int, ...] | None, output_size: int
) -> Float32Array | None:
    """Return the factors of the inputs that ``skip`` adds, or None if all are 1."""
    if scale is None:
        return None
    factors = as_float32("skip_scale", scale)
    if factors.shape != (output_size,):
        raise ModelError(
            f"skip_scale: expected a number for each of {output_size} outputs, got shape "
            f"{factors.shape}."
        )
    if skip is None:
        raise ModelError("skip_scale: expected a skip, which says what is scaled, got none.")
    factors = np.where(np.array(skip) < 0, np.float32(1), factors)  # these add nothing
    factors.flags.writeable = False
    return None if (factors == 1).all() else factors


def check_horizons(horizon: int | Sequence[int], output_size: int) -> tuple[int, ...]:
    """Return the horizon of each output, 0 or more steps; one number is that of all."""
    several = isinstance(horizon, Sequence) and not isinstance(horizon, str)
    several |= isinstance(horizon, np.ndarray) and horizon.ndim > 0
    given: Any = horizon
    horizons = tuple(given) if several else (given,) * output_size
    if len(horizons) != output_size:
        raise ModelError(
            f"horizon: expected one number, or one for each of {output_size} outputs, got "
            f"{shown(horizon)}."
        )
    for steps in horizons:
        whole = isinstance(steps, int | np.integer) and not isinstance(steps, bool)
        if not whole or not 0 <= steps <= MAX_HORIZON:
            raise ModelError(
                f"horizon: expected an integer from 0 to {MAX_HORIZON}, got {shown(steps)}."
            )
    return tuple(map(int, horizons))


def check_stage(online: Online | None, layers: Sequence[Layer], horizon: int) -> Online | None:
    """Return the online stage, if it fits the network and its longest horizon."""
    first = layers[0]
    if online is not None and not isinstance(online, Online):
        raise ModelError(f"online: expected an Online, got {type(online).__name__}.")
    if online is not None and online.derived >= first.input_size:
        raise ModelError(
            f"online: expected a first layer with more than the {online.derived} inputs of the "
            f"calendar, got {first.input_size}."
        )
    if online is not None and horizon > STAGE_HORIZON:
        raise ModelError(
            f"online: expected a horizon of at most {STAGE_HORIZON} steps, got {horizon}: each "
            "stream keeps its forecasts until what they speak of has come."
        )
    shares = "softmax" in str(getattr(layers[-1], "activation", ""))
    if online is not None and shares and (online.intervals or online.adapt != "none"):
        what = "intervals" if online.intervals else "adapt"
        raise ModelError(
            f"online: {what}: the outputs of this model are shares of classes, not forecasts of "
            "numbers; fill, calendar, scale and anomaly are what a stage does for it."
        )
    if online is not None and online.adapt != "none" and not any(x.hidden for x in layers):
        raise ModelError("online: expected a recurrent layer to adapt, the model has none.")
    return online


def horizon_suffix(steps: int) -> str:
    """Return what ends the name of an output of a model with several horizons: "@+24"."""
    return f"@+{steps}"


def check_lags(
    lags: Sequence[int], weights: ArrayLike | None, targets: tuple[int, ...], online: Online | None
) -> tuple[tuple[int, ...], Float32Array | None]:
    """Return the lags of the linear part, K of them, and its weights[O, K]; none if empty."""
    steps = _as_tuple("lags", lags)
    whole = all(isinstance(lag, int | np.integer) and not isinstance(lag, bool) for lag in steps)
    if not whole or list(steps) != sorted(set(steps)) or not all(0 <= n <= MAX_LAG for n in steps):
        raise ModelError(
            f"lags: expected steps back from 0 to {MAX_LAG}, rising, each once, got {shown(steps)}."
        )
    if not steps:
        if weights is not None:
            raise ModelError("lag_weights: expected lags, which say of what they are, got none.")
        return (), None
    if weights is None:
        raise ModelError(f"lags: expected lag_weights, {len(steps)} for each output, got none.")
    array = as_float32("lag_weights", weights)
    if array.shape != (len(targets), len(steps)):
        raise ModelError(
            f"lag_weights: expected {len(steps)} weights for each of {len(targets)} outputs, got "
            f"shape {array.shape}."
        )
    if online is None:
        raise ModelError(
            "lags: expected an online stage, which keeps the values of the last steps, got none; "
            "Online() is enough."
        )
    if max(targets) < 0:
        raise ModelError(
            "lags: expected an output that forecasts an input, whose last values it adds; name it "
            "(targets)."
        )
    return tuple(map(int, steps)), array


def check_targets(
    online: Online | None,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    skip: tuple[int, ...] | None,
    horizons: tuple[int, ...],
) -> tuple[int, ...]:
    """Return for each output the input that it forecasts, -1 for none."""
    names = [
        name if name in inputs else name.removesuffix(horizon_suffix(steps))
        for name, steps in zip(outputs, horizons, strict=True)
    ]
    default = tuple(
        inputs.index(name) if name in inputs else -1 if skip is None else skip[n]
        for n, name in enumerate(names)
    )
    if online is None:
        return default
    if not isinstance(online.fill, str) and len(online.fill) != len(inputs):
        raise ModelError(
            f"online: expected fill to have one word for each of {len(inputs)} inputs, got "
            f"{len(online.fill)}."
        )
    targets = default if online.targets is None else online.targets
    if len(targets) != len(outputs) or not all(target < len(inputs) for target in targets):
        raise ModelError(
            f"online: expected targets to have for each of {len(outputs)} outputs an input's index "
            f"up to {len(inputs) - 1}, or -1; got {shown(targets)}."
        )
    has_target = any(target >= 0 for target in targets)
    if online.intervals and not has_target and not online.labels:
        raise ModelError(
            "online: intervals need to know what came: name the input that an output forecasts "
            "(targets), or accept labels from outside (labels)."
        )
    if online.adapt != "none" and not has_target and not online.labels:
        raise ModelError(
            "online: adaptation needs to know what came: name the input that an output forecasts "
            "(targets), or accept labels from outside (labels)."
        )
    if online.labels and online.adapt == "none":
        raise ModelError("online: labels from outside serve to adapt: expected adapt, got none.")
    return targets
