"""Recurrent networks over live streams: every stream keeps its memory, one step at a time.

>>> import streamlstm as sl
>>> engine = sl.Engine(sl.Model.load("model.safetensors"))  # doctest: +SKIP
>>> engine.step("pump-7", [21.3, 0.82])  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aio import AsyncClient, AsyncPublisher, AsyncSubscriber
    from .async_engine import AsyncEngine
    from .async_replaying import AsyncReplayingPublisher
    from .client import Client, Subscriber
    from .convert import (
        from_guitarml,
        from_keras,
        from_onnx,
        from_rtneural,
        from_torch,
        load_any,
    )
    from .engine import Engine
    from .errors import ConvertError, StreamLSTMError
    from .layers import GRU, LSTM, RNN, Dense, Embedding, LayerNorm, Pointwise
    from .model import Model, Scaling
    from .publisher import Publisher
    from .replaying import ReplayingPublisher
    from .stream import Stream

__version__ = "0.1.0"

_HOMES = {
    "AsyncClient": "aio",
    "AsyncEngine": "async_engine",
    "AsyncPublisher": "aio",
    "AsyncReplayingPublisher": "async_replaying",
    "AsyncSubscriber": "aio",
    "Client": "client",
    "ConvertError": "errors",
    "Dense": "layers",
    "Embedding": "layers",
    "Engine": "engine",
    "GRU": "layers",
    "LSTM": "layers",
    "LayerNorm": "layers",
    "Model": "model",
    "Pointwise": "layers",
    "RNN": "layers",
    "Scaling": "model",
    "Stream": "stream",
    "StreamLSTMError": "errors",
    "from_guitarml": "convert",
    "from_keras": "convert",
    "from_onnx": "convert",
    "from_rtneural": "convert",
    "from_torch": "convert",
    "load_any": "convert",
    "Publisher": "publisher",
    "ReplayingPublisher": "replaying",
    "Subscriber": "client",
}
__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AsyncClient",
    "AsyncEngine",
    "AsyncPublisher",
    "AsyncReplayingPublisher",
    "AsyncSubscriber",
    "Client",
    "ConvertError",
    "Dense",
    "Embedding",
    "Engine",
    "LayerNorm",
    "Model",
    "Pointwise",
    "Publisher",
    "ReplayingPublisher",
    "Scaling",
    "Stream",
    "StreamLSTMError",
    "Subscriber",
    "__version__",
    "from_guitarml",
    "from_keras",
    "from_onnx",
    "from_rtneural",
    "from_torch",
    "load_any",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that importing the package costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, also those that were not used yet."""
    return __all__
