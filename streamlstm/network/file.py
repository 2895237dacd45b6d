"""A model to and from one .safetensors file: arrays as tensors, the rest as JSON in its metadata.

The format is docs/model-file.md. Safetensors holds numbers only, so that loading a file of
unknown origin executes nothing.
"""

import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..errors import ModelError, ModelFileError
from ..files import replace_file
from .layers import layer_from_dict
from .scaling import Scaling

FORMAT = "streamlstm"
VERSION = 1


class _HasFingerprint(Protocol):
    @property
    def fingerprint(self) -> str: ...


Fingerprinted = TypeVar("Fingerprinted", bound=_HasFingerprint)


def write_model_file(
    path: str | PathLike[str],
    arrays: dict[str, np.ndarray[Any, Any]],
    specification: dict[str, Any],
    metadata: dict[str, str],
    fingerprint: str,
) -> None:
    """Write what a model consists of; an existing file is replaced as a whole or not at all.

    Parameters
    ----------
    path : path-like
    arrays, specification, metadata, fingerprint
        As of :class:`streamlstm.Model`.

    Raises
    ------
    ModelFileError
        If the file cannot be written.
    """
    target = Path(path)
    data = save(
        arrays,
        metadata={
            "format": FORMAT,
            "version": str(VERSION),
            "specification": json.dumps(specification),
            "metadata": json.dumps(metadata),
            "fingerprint": fingerprint,
        },
    )
    try:
        replace_file(target, data)
    except OSError as error:
        raise ModelFileError(f"{target}: cannot be written: {error.strerror}.") from None


def read_model_file(
    path: str | PathLike[str], build: Callable[..., Fingerprinted]
) -> Fingerprinted:
    """Read a model from ``path``.

    Parameters
    ----------
    path : path-like
    build : callable
        Takes the arguments of :class:`streamlstm.Model` and returns the model.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, foreign, or written by a newer version.
    """
    source = Path(path)
    header, arrays = _read(source)
    _check_origin(source, header)
    try:
        specification = json.loads(header["specification"])
        metadata = json.loads(header.get("metadata", "{}"))
        model = build(**_arguments(specification, metadata, arrays))
        fingerprint = header["fingerprint"]
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


def _read(source: Path) -> tuple[dict[str, str], dict[str, np.ndarray[Any, Any]]]:
    if source.is_dir():
        raise ModelFileError(f"{source}: expected a model file, this is a directory.")
    try:
        with source.open("rb") as file:  # safetensors' own message for these names no path
            file.read(1)
        with safe_open(str(source), framework="numpy") as file:
            header = dict(file.metadata() or {})
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise ModelFileError(f"{source}: cannot be read: {error.strerror or error}.") from None
    except (SafetensorError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"{source}: expected a .safetensors model file, but it is damaged or of another kind "
            f"({error})."
        ) from None


def _check_origin(source: Path, header: dict[str, str]) -> None:
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
    specification: dict[str, Any],
    metadata: dict[str, str],
    arrays: dict[str, np.ndarray[Any, Any]],
) -> dict[str, Any]:
    """Return the arguments from which the model is made; every array is used once."""
    layers = [layer_from_dict(spec) for spec in specification["layers"]]
    arguments = {
        "layers": layers,
        "weights": [
            {name: _take(arrays, f"layers.{n}.{name}") for name in layer.parameters()}
            for n, layer in enumerate(layers)
        ],
        "inputs": specification["inputs"],
        "outputs": specification["outputs"],
        "input_scaling": _take_scaling(arrays, "input_scaling"),
        "output_scaling": _take_scaling(arrays, "output_scaling"),
        "skip": specification["skip"],
        "skip_scale": arrays.pop("skip_scale", None),
        "horizon": specification["horizon"],
        "metadata": metadata,
    }
    if arrays:
        raise ModelError(f"it holds arrays that no layer has: {', '.join(sorted(arrays))}.")
    return arguments


def _take(arrays: dict[str, np.ndarray[Any, Any]], name: str) -> np.ndarray[Any, Any]:
    if name not in arrays:
        raise ModelError(f"the array {name} is missing.")
    return arrays.pop(name)


def _take_scaling(arrays: dict[str, np.ndarray[Any, Any]], side: str) -> Scaling:
    return Scaling(_take(arrays, f"{side}.mean"), _take(arrays, f"{side}.scale"))
