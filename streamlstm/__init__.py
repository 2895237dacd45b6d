"""Recurrent networks over live streams: every stream keeps its memory, one step at a time.

>>> import streamlstm as sl
>>> engine = sl.Engine(sl.Model.load("model.safetensors"))  # doctest: +SKIP
>>> engine.step("pump-7", [21.3, 0.82])  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backends.precision_check import check_precision
    from .client.aio.client import AsyncClient, AsyncPublisher, AsyncSubscriber
    from .client.aio.replaying_publisher import AsyncReplayingPublisher
    from .client.client import Client, Subscriber
    from .client.publisher import Publisher
    from .client.replay.publisher import ReplayingPublisher
    from .convert import (
        from_guitarml,
        from_keras,
        from_onnx,
        from_rtneural,
        from_torch,
        load_any,
        to_onnx,
    )
    from .engine.aio import AsyncEngine
    from .engine.engine import Engine
    from .engine.stream import Stream
    from .errors import ConvertError, StreamLSTMError
    from .network.layers import GRU, LSTM, RNN, Dense, Embedding, LayerNorm, Pointwise
    from .network.model import Model
    from .network.scaling import Scaling

__version__ = "0.1.0"

_HOMES = {
    "AsyncClient": "client.aio.client",
    "AsyncEngine": "engine.aio",
    "AsyncPublisher": "client.aio.client",
    "AsyncReplayingPublisher": "client.aio.replaying_publisher",
    "AsyncSubscriber": "client.aio.client",
    "Client": "client.client",
    "ConvertError": "errors",
    "Dense": "network.layers",
    "Embedding": "network.layers",
    "Engine": "engine.engine",
    "GRU": "network.layers",
    "LSTM": "network.layers",
    "LayerNorm": "network.layers",
    "Model": "network.model",
    "Pointwise": "network.layers",
    "RNN": "network.layers",
    "Scaling": "network.scaling",
    "Stream": "engine.stream",
    "StreamLSTMError": "errors",
    "check_precision": "backends.precision_check",
    "from_guitarml": "convert",
    "from_keras": "convert",
    "from_onnx": "convert",
    "from_rtneural": "convert",
    "from_torch": "convert",
    "load_any": "convert",
    "to_onnx": "convert",
    "Publisher": "client.publisher",
    "ReplayingPublisher": "client.replay.publisher",
    "Subscriber": "client.client",
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
    "check_precision",
    "from_guitarml",
    "from_keras",
    "from_onnx",
    "from_rtneural",
    "from_torch",
    "load_any",
    "to_onnx",
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
