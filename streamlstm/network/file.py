"""Reads and writes model files: arrays as safetensors, the rest as JSON in their metadata.

The format is docs/model-file.md. Safetensors holds numbers only: loading a file of unknown origin
executes nothing.
"""

from __future__ import annotations

import json
from math import prod
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError, ModelFileError
from ..files import check_path
from .layers import Layer
from .online import Online
from .safetensors_file import Arrays, SafetensorsFile, write_safetensors
from .scaling import Scaling
from .window import ANSWER

if TYPE_CHECKING:
    from .model import Model

FORMAT = "streamlstm"
VERSION = 6  # each model is written in the first version that has all of it: see _version
_SPARE = 2**20  # bytes for scaling, and for arrays that are not a layer's, which are named


def write_model_file(path: str | PathLike[str], model: Model) -> None:
    """Write a model file; an existing file is replaced as a whole or not at all.

    Raises
    ------
    ModelFileError
        If the file cannot be written.
    """
    check_path(path, ModelFileError, "a model file to write")
    metadata = {
        "format": FORMAT,
        "version": str(_version(model)),
        "specification": json.dumps(model.specification()),
        "metadata": json.dumps(model.metadata),
        "fingerprint": model.fingerprint,
    }
    try:
        write_safetensors(path, model.arrays(), metadata)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written: {error.strerror}.") from None


def _version(model: Model) -> int:
    """Return the first version of the format that can hold a model."""
    newest = max(layer.file_version for layer in model.layers)
    if newest > 1:
        return newest
    if model.window is not None:
        return 4
    has_offsets = model.input_offsets is not None or model.output_offsets is not None
    if model.lags or len(set(model.horizons)) > 1 or has_offsets:
        return 3
    return 1 if model.online is None else 2


def read_model_file(path: str | PathLike[str], model_class: type[Model]) -> Model:
    """Read a model file.

    Parameters
    ----------
    path : path-like
    model_class : type
        :class:`streamlstm.Model`, which this module cannot import.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, of another kind, or written by a newer version.
    """
    source = check_path(path, ModelFileError, "a model file")
    with SafetensorsFile(source) as file:
        header = file.metadata
        _check_header(source, header)
        try:
            specification = json.loads(header["specification"])
            metadata = json.loads(header.get("metadata", "{}"))
            layers = [Layer.from_dict(layer) for layer in specification["layers"]]
            _check_size(source, file.size, layers)
            arguments = _arguments(layers, specification, file.read())
            model = model_class(**arguments, metadata=metadata)
            fingerprint = header["fingerprint"]
        except ModelFileError:
            raise
        except ModelError as error:
            raise ModelFileError(f"{source}: the model does not fit together: {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ModelFileError(
                f"{source}: is a streamlstm model file whose description is damaged "
                f"({type(error).__name__}: {error})."
            ) from None
    if model.fingerprint != fingerprint:
        raise ModelFileError(
            f"{source}: is damaged: its content has the fingerprint {model.fingerprint}, it was "
            f"saved with {fingerprint}. Copy or export it again."
        )
    return model


def _check_size(source: Path, size: int, layers: list[Layer]) -> None:
    """Check before they are read that arrays are no larger than these layers have."""
    shapes = [shape for layer in layers for shape in layer.parameters().values()]
    most = _SPARE + 8 * sum(prod(shape) for shape in shapes)  # of float64; float32 is written
    if size > most:
        raise ModelFileError(
            f"{source}: holds {size} bytes of arrays, its layers have at most {most}; it is "
            "damaged, or no model file."
        )


def _check_header(source: Path, header: dict[str, str]) -> None:
    """Check format and version."""
    if header.get("format") != FORMAT:
        raise ModelFileError(
            f"{source}: is a .safetensors file, but not one that streamlstm wrote (its metadata "
            f"lacks format={FORMAT!r})."
        )
    version = header.get("version", "")
    if not version.isascii() or not version.isdigit():
        raise ModelFileError(f"{source}: expected a format version, got {version!r}.")
    if int(version) > VERSION:
        raise ModelFileError(
            f"{source}: is written in format version {version}, this streamlstm reads up to "
            f"{VERSION}; install a newer streamlstm."
        )


def _arguments(
    layers: list[Layer], specification: dict[str, Any], arrays: Arrays
) -> dict[str, Any]:
    """Return the arguments of the model but its metadata; every array must be used."""
    unused = dict(arrays)

    def take(name: str) -> np.ndarray[Any, Any]:
        if name not in unused:
            raise ModelError(f"the array {name} is missing.")
        return unused.pop(name)

    arguments = {
        "layers": layers,
        "weights": [
            {name: take(f"layers.{n}.{name}") for name in layer.parameters()}
            for n, layer in enumerate(layers)
        ],
        "inputs": specification["inputs"],
        "outputs": specification["outputs"],
        "input_scaling": Scaling(take("input_scaling.mean"), take("input_scaling.scale")),
        "output_scaling": Scaling(take("output_scaling.mean"), take("output_scaling.scale")),
        "skip": specification["skip"],
        "skip_scale": unused.pop("skip_scale", None),
        "horizon": specification["horizon"],
        "input_offsets": unused.pop("input_offsets", None),
        "output_offsets": unused.pop("output_offsets", np.zeros(len(specification["outputs"]))),
        "lags": specification.get("lags", ()),
        "lag_weights": unused.pop("lag_weights", None),
        "window": specification.get("window"),
        "start": specification.get("start", ANSWER),
    }
    if "online" in specification:
        arguments["online"] = Online.from_dict(specification["online"])
    if unused:
        raise ModelError(f"it holds arrays that no layer has: {', '.join(sorted(unused))}.")
    return arguments
