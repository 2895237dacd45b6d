"""Networks of other frameworks: bringing them here and taking them away again.

One module for each framework, imported when it is first used; each imports its framework inside
its functions, so that nobody needs more than what their own file asks for. The shared parts are
``chain`` (layers as they are found, folded into as few as there can be), ``check`` (every weight
once, in its shape) and ``gates`` (orders of gates).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .detect import load_any
    from .json.guitarml import from_guitarml
    from .json.rtneural import from_rtneural
    from .keras.convert import from_keras
    from .onnx.convert import from_onnx
    from .onnx.export import to_onnx
    from .torch.convert import from_torch

_HOMES = {
    "from_guitarml": "json.guitarml",
    "from_keras": "keras.convert",
    "from_onnx": "onnx.convert",
    "from_rtneural": "json.rtneural",
    "from_torch": "torch.convert",
    "load_any": "detect",
    "to_onnx": "onnx.export",
}
__all__ = [
    "from_guitarml",
    "from_keras",
    "from_onnx",
    "from_rtneural",
    "from_torch",
    "load_any",
    "to_onnx",
]


def __getattr__(name: str) -> Any:
    """Import a converter when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
