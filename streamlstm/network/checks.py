"""Checks that the parts of a model fit together; each raises ModelError and says what does not."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ModelError
from .layers import Embedding, Layer
from .scaling import Scaling, as_float32

Float32Array = NDArray[np.float32]


def check_chain(layers: tuple[Layer, ...]) -> None:
    """Raise ModelError if layers do not follow each other."""
    if not layers:
        raise ModelError("expected at least one layer, got none.")
    for n in range(1, len(layers)):
        if isinstance(layers[n], Embedding):
            raise ModelError(f"layer {n} is an embedding: expected it to be the first layer.")
        given, wanted = layers[n - 1].output_size, layers[n].input_size
        if given != wanted:
            raise ModelError(
                f"layer {n} ({layers[n].kind}) takes {wanted} values, but layer {n - 1} "
                f"({layers[n - 1].kind}) hands on {given}."
            )


def check_weights(n: int, layer: Layer, given: Mapping[str, ArrayLike]) -> dict[str, Float32Array]:
    """Return the arrays of layer ``n`` as float32; raise ModelError if they are not its own."""
    shapes = layer.parameters()
    where = f"layer {n} ({layer.kind})"
    for name in shapes.keys() - given.keys():
        raise ModelError(f"{where} lacks {name}, shape {shapes[name]}.")
    for name in given.keys() - shapes.keys():
        raise ModelError(f"{where} has no parameter {name!r}; it has {', '.join(shapes)}.")
    arrays = {name: as_float32(f"{where} {name}", given[name]) for name in shapes}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ModelError(f"{where} {name}: expected shape {shape}, got {arrays[name].shape}.")
    return arrays


def check_names(what: str, names: Sequence[str] | None, letter: str, n: int) -> tuple[str, ...]:
    """Return ``n`` names; made of a letter where none are given."""
    if names is None:
        return tuple(f"{letter}{index}" for index in range(n))
    if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
        raise ModelError(f"{what}: expected a sequence of {n} names, got {names!r}.")
    if len(names) != n:
        raise ModelError(f"{what}: expected {n} names, got {len(names)}: {', '.join(names)}.")
    if len(set(names)) != n:
        raise ModelError(f"{what}: expected every name once, got {', '.join(names)}.")
    return tuple(names)


def check_scaling(what: str, scaling: Scaling | None, n: int) -> Scaling:
    """Return a scaling of ``n`` columns; one that changes nothing where none is given."""
    if scaling is None:
        return Scaling.identity(n)
    if scaling.mean.shape != (n,):
        raise ModelError(f"{what}: expected {n} columns, got {scaling.mean.shape[0]}.")
    return scaling


def check_skip(
    skip: Sequence[int] | None, input_size: int, output_size: int
) -> tuple[int, ...] | None:
    """Return for each output the index of the input that is added, or None."""
    if skip is None:
        return None
    indices = tuple(int(index) for index in skip)
    if len(indices) != output_size or not all(-1 <= index < input_size for index in indices):
        raise ModelError(
            f"skip: expected for each of {output_size} outputs an input's index from 0 to "
            f"{input_size - 1}, or -1 for none; got {list(skip)}."
        )
    return None if all(index < 0 for index in indices) else indices


def check_skip_scale(
    scale: ArrayLike | None, skip: tuple[int, ...] | None, output_size: int
) -> Float32Array | None:
    """Return what these inputs are multiplied by, or None where it changes nothing."""
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
