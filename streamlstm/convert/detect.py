"""Which framework wrote a file, by what is in it."""

import json
import zipfile
from collections.abc import Callable
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from ..errors import ConvertError
from ..network.model import Model
from .common.sniff import first_bytes, is_safetensors, read_json

_MODEL = ("inputs", "outputs", "input_scaling", "output_scaling", "skip", "skip_scale", "horizon")
# What the reader of each kind of file takes beside the file.
KEYWORDS: dict[str, tuple[str, ...]] = {
    "keras": (*_MODEL, "metadata"),
    "torch": ("activations", "initial_state", "rnn_activation", "epsilon", *_MODEL, "metadata"),
    "onnx": ("output", *_MODEL, "metadata"),
    "rtneural": (*_MODEL, "metadata"),
    "guitarml": (*_MODEL, "metadata"),
    "streamlstm": (),
}
FORMATS = tuple(KEYWORDS)
NAMES = {
    "keras": "a network of Keras",
    "torch": "a state dict of PyTorch",
    "onnx": "an ONNX graph",
    "rtneural": "JSON of RTNeural or AIDA-X",
    "guitarml": "JSON of GuitarML",
    "streamlstm": "a model file of streamlstm",
}
_KNOWN = (
    "known are .keras and .h5 of Keras, a state dict of PyTorch, ONNX, the JSON of RTNeural, "
    "AIDA-X and GuitarML, and this project's own .safetensors"
)


def load_any(path: str | PathLike[str], **options: Any) -> Model:
    """Read a network, whatever it was trained in.

    Parameters
    ----------
    path : path
        A file that :func:`detect` knows.
    **options
        As the reader of its kind takes them; none for a model file of this project.

    Returns
    -------
    Model

    Raises
    ------
    ConvertError
        If its content is of no known kind, cannot be taken over, or an option does not apply to
        its kind.
    """
    from . import from_guitarml, from_keras, from_onnx, from_rtneural, from_torch

    readers: dict[str, Callable[..., Model]] = {
        "keras": from_keras,
        "torch": from_torch,
        "onnx": from_onnx,
        "rtneural": from_rtneural,
        "guitarml": from_guitarml,
        "streamlstm": Model.load,
    }
    kind = detect(path)
    for option in options:
        if option not in KEYWORDS[kind]:
            raise ConvertError(
                f"{fspath(path)}: {option}= does not apply to {NAMES[kind]}, which takes "
                f"{', '.join(KEYWORDS[kind]) or 'no options'}."
            )
    return readers[kind](path, **options)


def detect(path: str | PathLike[str]) -> str:
    """Return the kind of a file, one of ``FORMATS``; its name does not matter.

    Raises
    ------
    ConvertError
        If it is of another kind, with what to do where that is known.
    """
    name = fspath(path)
    if Path(name).is_dir():
        raise ConvertError(
            f"{name}: expected a file. From the folder of a TensorFlow SavedModel, load it and "
            "save it with model.save('model.keras')."
        )
    start = first_bytes(path)
    if start.startswith(b"PK\x03\x04"):
        return _zip_kind(name)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "keras"
    if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        return _json_kind(name)
    if is_safetensors(start):
        return _safetensors_kind(name)
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "torch"  # of before torch 1.6: a pickle, which torch reads with weights_only
    if _is_protobuf(start):
        return "onnx"
    raise ConvertError(f"{name}: {'is empty' if not start else 'is no network'}; {_KNOWN}.")


def _zip_kind(name: str) -> str:
    try:
        with zipfile.ZipFile(name) as archive:
            members = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ConvertError(f"{name}: a damaged .keras or PyTorch file: {error}.") from None
    if "config.json" in members:
        return "keras"
    if any(member.endswith("constants.pkl") for member in members):
        raise ConvertError(
            f"{name}: holds TorchScript, which is code. Bring the weights instead: "
            "torch.save(module.state_dict(), 'model.pt')."
        )
    if any(member.endswith("data.pkl") for member in members):
        return "torch"
    raise ConvertError(f"{name}: a zip of other things; {_KNOWN}.")


def _json_kind(name: str) -> str:
    content = read_json(name)
    if isinstance(content.get("layers"), list):
        return "rtneural"
    if "model_data" in content or "state_dict" in content:
        return "guitarml"
    if any(str(key).endswith(("weight_hh", "weight_hh_l0")) for key in content):
        return "torch"  # a state dict as lists, as RTNeural's own tests have it
    if content.get("class_name") in ("Sequential", "Functional", "Model"):
        raise ConvertError(
            f"{name}: holds the layers of a Keras network without its weights. Save the whole "
            "network with model.save('model.keras') and bring that file."
        )
    raise ConvertError(f"{name}: JSON of other things ({', '.join(list(content)[:5])}); {_KNOWN}.")


def _safetensors_kind(name: str) -> str:
    """Return whose weights they are: this project says so in their metadata."""
    try:
        with open(name, "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except ValueError:
        return "streamlstm"  # damaged: its reader says where
    ours = header.get("__metadata__", {}).get("format") == "streamlstm"
    return "streamlstm" if ours else "torch"


def _is_protobuf(start: bytes) -> bool:
    """Look for the number of one of the fields with which an ONNX model starts."""
    return (
        len(start) > 2 and start[0] in (0x08, 0x12, 0x1A, 0x3A, 0x42) and b"\x00" not in start[:2]
    )
