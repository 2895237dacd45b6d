"""Detection of the format of a file by its content."""

import json
import zipfile
from os import PathLike, fspath

from ..errors import ConvertError
from ..files import check_path
from .common.files import first_bytes, is_hdf5, is_json_object, is_safetensors, is_zip, read_json
from .formats import FORMATS

_SUPPORTED = f"supported are {', '.join(format_.description for format_ in FORMATS.values())}"


def detect(path: str | PathLike[str]) -> str:
    """Return the format of a file, a key of ``FORMATS``, by its content.

    Raises
    ------
    ConvertError
        If the format is not known; the message says what to do where that is known.
    """
    source = check_path(path, ConvertError, "a file of a network")
    name = fspath(path)
    if source.is_dir():
        raise ConvertError(
            f"{name}: expected a file. From the folder of a TensorFlow SavedModel, load it and "
            "save it with model.save('model.keras')."
        )
    start = first_bytes(path)
    if is_zip(start):
        return _zip_format(name)
    if is_hdf5(start):
        return "keras"
    if is_json_object(start):
        return _json_format(name)
    if is_safetensors(start):
        return _safetensors_format(name)
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "torch"  # before PyTorch 1.6: a pickle, which torch reads with weights_only
    if start[4:8] == b"TFL3":
        return "tflite"
    if start[:1] == b"\x0a" and _is_frozen_graph(start):
        return "tensorflow"
    if _is_protobuf(start):
        return "onnx"
    raise ConvertError(f"{name}: {'is empty' if not start else 'is no network'}; {_SUPPORTED}.")


def _zip_format(name: str) -> str:
    try:
        with zipfile.ZipFile(name) as archive:
            members = archive.namelist()
    except Exception as error:  # many types, depending on the damage
        raise ConvertError(f"{name}: a damaged .keras or PyTorch file: {error}.") from None
    if "config.json" in members:
        return "keras"
    if any("/code/" in member or member.startswith("code/") for member in members):
        return "torch"  # TorchScript
    if any(member.endswith(("models/model.json", "archive_format")) for member in members):
        raise ConvertError(
            f"{name}: is a program of torch.export. Load it and give that: "
            "sl.from_torch(torch.export.load(path))."
        )
    if any(member.endswith("data.pkl") for member in members):
        return "torch"
    raise ConvertError(f"{name}: a zip archive of another kind; {_SUPPORTED}.")


def _json_format(name: str) -> str:
    content = read_json(name)
    if isinstance(content.get("layers"), list):
        return "rtneural"
    if "model_data" in content or "state_dict" in content:
        return "guitarml"
    if any(str(key).endswith(("weight_hh", "weight_hh_l0")) for key in content):
        return "torch"  # a state dict as lists, as in the tests of RTNeural
    if "architecture" in content and "weights" in content:
        return "nam"
    if content.get("class_name") in ("Sequential", "Functional", "Model"):
        raise ConvertError(
            f"{name}: holds the layers of a Keras network without its weights. Save the whole "
            "network with model.save('model.keras') and bring that file."
        )
    raise ConvertError(
        f"{name}: JSON of another kind ({', '.join(list(content)[:5])}); {_SUPPORTED}."
    )


def _safetensors_format(name: str) -> str:
    """Return "streamlstm" for a model file, by its metadata, else "torch"."""
    try:
        with open(name, "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except ValueError:
        return "streamlstm"  # damaged; the reader says where
    is_model = header.get("__metadata__", {}).get("format") == "streamlstm"
    return "streamlstm" if is_model else "torch"


def _is_frozen_graph(start: bytes) -> bool:
    """Return whether a file starts as a GraphDef of TensorFlow: a node with name and operation.

    Field 1 is a node, of which field 1 is the name and field 2 the operation.
    """
    body = start[2:] if start[1] < 0x80 else start[3:]
    if len(body) < 4 or body[0] != 0x0A:
        return False
    end = 2 + body[1]
    return body[end : end + 1] == b"\x12" and body[end + 2 : end + 4].isalpha()


def _is_protobuf(start: bytes) -> bool:
    """Return whether a file starts with the tag of a field that may come first in an ONNX model."""
    return (
        len(start) > 2 and start[0] in (0x08, 0x12, 0x1A, 0x3A, 0x42) and b"\x00" not in start[:2]
    )
