"""Recurrent networks over live streams: every stream keeps its memory, one step at a time.

>>> import streamlstm as sl
>>> engine = sl.Engine(sl.Model.load("model.safetensors"))  # doctest: +SKIP
>>> engine.step("pump-7", [21.3, 0.82])  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aio import AsyncClient, AsyncPublisher, AsyncSubscriber
    from .client import Client, Publisher, Subscriber
    from .engine import Engine, Stream
    from .errors import StreamLSTMError
    from .layers import LSTM, Dense
    from .model import Model, Scaling

__version__ = "0.1.0"

_HOMES = {
    "AsyncClient": "aio",
    "AsyncPublisher": "aio",
    "AsyncSubscriber": "aio",
    "Client": "client",
    "Dense": "layers",
    "Engine": "engine",
    "LSTM": "layers",
    "Model": "model",
    "Publisher": "client",
    "Scaling": "model",
    "Stream": "engine",
    "StreamLSTMError": "errors",
    "Subscriber": "client",
}
__all__ = [
    "LSTM",
    "AsyncClient",
    "AsyncPublisher",
    "AsyncSubscriber",
    "Client",
    "Dense",
    "Engine",
    "Model",
    "Publisher",
    "Scaling",
    "Stream",
    "StreamLSTMError",
    "Subscriber",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that importing the package costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
