"""Reading of ONNX files."""

import json
from os import PathLike
from typing import Any

from ...errors import ConvertError
from ...files import check_path
from ..common.frameworks import require
from .local_functions import DOMAIN

METADATA_KEY = "streamlstm"  # of the entry that to_onnx writes into the metadata
_EXPORTED = ("inputs", "outputs", "horizon", "metadata", "initial")
_WINDOW = ("window", "start")  # of a window model


def load_model(source: Any) -> Any:
    """Return the ModelProto of a path, bytes or a ModelProto."""
    onnx = require("onnx", "read ONNX files")
    if isinstance(source, onnx.ModelProto):
        return source
    if not isinstance(source, bytes | bytearray | str | PathLike):
        raise ConvertError(
            f"from_onnx: expected a path, bytes or an onnx.ModelProto, got {type(source).__name__}."
        )
    where = "the bytes"
    try:
        if isinstance(source, bytes | bytearray):
            model = onnx.load_model_from_string(bytes(source))
        else:
            path = check_path(source, ConvertError, "an ONNX file")
            where = str(path)
            if not path.is_file():
                raise ConvertError(f"{path}: there is no such file.")
            model = onnx.load(path)
    except ConvertError:
        raise
    except Exception as error:  # many types of protobuf and onnx, depending on the damage
        raise ConvertError(f"{where}: cannot be read as ONNX: {error}.") from None
    if not model.graph.node or not model.graph.output:
        raise ConvertError(f"{where}: expected an ONNX graph with nodes and outputs, found none.")
    return model


def inline_functions(model: Any) -> Any:
    """Inline all functions except the layers that to_onnx wrote."""
    others = [f for f in model.functions if f.domain != DOMAIN]
    if not others:
        return model
    from onnx import inliner

    names = [(f.domain, f.name) for f in others]
    return inliner.inline_selected_functions(model, names)


def to_array(tensor: Any) -> Any:
    """Return an initializer as an array.

    Raises
    ------
    ConvertError
        If its data is in another file, or does not fit its shape.
    """
    from onnx import TensorProto, numpy_helper

    if tensor.data_location == TensorProto.EXTERNAL:
        raise ConvertError(
            f"the weights {tensor.name!r} are in an external file: give the path of the "
            ".onnx file, with that file next to it."
        )
    try:
        return numpy_helper.to_array(tensor)
    except (TypeError, ValueError) as error:
        raise ConvertError(
            f"{tensor.name!r} {tuple(tensor.dims)}: its data does not fit its shape: {error}."
        ) from None


def exported_metadata(model: Any) -> dict[str, Any]:
    """Return names, horizon, metadata and initial states that to_onnx wrote; empty if none."""
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            try:
                found = json.loads(entry.value)
                window = {key: found[key] for key in _WINDOW if key in found}
                return {key: found[key] for key in _EXPORTED} | window
            except (ValueError, KeyError, TypeError):
                return {}
    return {}


def own_metadata(model: Any) -> dict[str, str]:
    """Return the metadata that others wrote into a file."""
    return {e.key: e.value for e in model.metadata_props if e.key != METADATA_KEY}
