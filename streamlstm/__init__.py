"""Recurrent networks over live streams: every stream keeps its memory, one step at a time.

>>> import streamlstm as sl
>>> engine = sl.Engine(sl.Model.load("model.safetensors"))  # doctest: +SKIP
>>> engine.step("pump-7", [21.3, 0.82])  # doctest: +SKIP
"""

TYPE_CHECKING = False  # importing typing would take longer than all of this
if TYPE_CHECKING:
    from typing import Any

    from .backends.precision_check import check_precision
    from .client.aio.client import AsyncClient
    from .client.aio.publisher import AsyncPublisher
    from .client.aio.replaying_publisher import AsyncReplayingPublisher
    from .client.aio.subscriber import AsyncSubscriber
    from .client.client import Client
    from .client.publisher import Publisher
    from .client.replay.publisher import ReplayingPublisher
    from .client.subscriber import Subscriber
    from .convert.compare import compare
    from .convert.comparison import Comparison
    from .convert.json.guitarml import from_guitarml
    from .convert.json.nam import from_nam
    from .convert.json.rtneural import from_rtneural
    from .convert.keras.importer import from_keras
    from .convert.load import load_any
    from .convert.onnx.exporter import to_onnx
    from .convert.onnx.importer import from_onnx
    from .convert.tensorflow.importer import from_tensorflow, from_tflite
    from .convert.torch.importer import from_torch
    from .engine.aio import AsyncEngine
    from .engine.engine import Engine
    from .engine.numbers import sparse_seq
    from .engine.prediction import Prediction, Predictions
    from .engine.stream import Stream
    from .errors import ConvertError, StreamLSTMError
    from .learn.evaluation.evaluate import evaluate
    from .learn.evaluation.evaluation import Evaluation
    from .learn.predict import predict
    from .learn.trained import Trained
    from .learn.training import train
    from .network.layers import (
        GRU,
        LSTM,
        RNN,
        Attention,
        Bidirectional,
        Conv1D,
        Dense,
        Embedding,
        Flatten,
        Last,
        LayerNorm,
        Parallel,
        Pointwise,
        Pool,
        Repeat,
        Reverse,
        SoftmaxOverRows,
        Transpose,
    )
    from .network.model import Model
    from .network.online import Online
    from .network.scaling import Scaling
    from .online.detector import detector

__version__ = "0.2.0"

_HOMES = {
    "AsyncClient": "client.aio.client",
    "AsyncEngine": "engine.aio",
    "AsyncPublisher": "client.aio.publisher",
    "AsyncReplayingPublisher": "client.aio.replaying_publisher",
    "AsyncSubscriber": "client.aio.subscriber",
    "Attention": "network.layers",
    "Bidirectional": "network.layers",
    "Client": "client.client",
    "Comparison": "convert.comparison",
    "Conv1D": "network.layers",
    "ConvertError": "errors",
    "Dense": "network.layers",
    "Embedding": "network.layers",
    "Engine": "engine.engine",
    "Evaluation": "learn.evaluation",
    "Flatten": "network.layers",
    "GRU": "network.layers",
    "LSTM": "network.layers",
    "Last": "network.layers",
    "LayerNorm": "network.layers",
    "Model": "network.model",
    "Online": "network.online",
    "Parallel": "network.layers",
    "Pointwise": "network.layers",
    "Pool": "network.layers",
    "Prediction": "engine.prediction",
    "Predictions": "engine.prediction",
    "RNN": "network.layers",
    "Repeat": "network.layers",
    "Reverse": "network.layers",
    "Scaling": "network.scaling",
    "SoftmaxOverRows": "network.layers",
    "Stream": "engine.stream",
    "StreamLSTMError": "errors",
    "Trained": "learn.trained",
    "Transpose": "network.layers",
    "check_precision": "backends.precision_check",
    "compare": "convert.compare",
    "detector": "online.detector",
    "evaluate": "learn.evaluation",
    "from_guitarml": "convert.json.guitarml",
    "from_keras": "convert.keras.importer",
    "from_nam": "convert.json.nam",
    "from_onnx": "convert.onnx.importer",
    "from_rtneural": "convert.json.rtneural",
    "from_tensorflow": "convert.tensorflow.importer",
    "from_tflite": "convert.tensorflow.importer",
    "from_torch": "convert.torch.importer",
    "load_any": "convert.load",
    "predict": "learn.predict",
    "sparse_seq": "engine.numbers",
    "to_onnx": "convert.onnx.exporter",
    "train": "learn.training",
    "Publisher": "client.publisher",
    "ReplayingPublisher": "client.replay.publisher",
    "Subscriber": "client.subscriber",
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
    "Attention",
    "Bidirectional",
    "Client",
    "Comparison",
    "Conv1D",
    "ConvertError",
    "Dense",
    "Embedding",
    "Engine",
    "Evaluation",
    "Flatten",
    "Last",
    "LayerNorm",
    "Model",
    "Online",
    "Parallel",
    "Pointwise",
    "Pool",
    "Prediction",
    "Predictions",
    "Publisher",
    "Repeat",
    "ReplayingPublisher",
    "Reverse",
    "Scaling",
    "SoftmaxOverRows",
    "Stream",
    "StreamLSTMError",
    "Subscriber",
    "Trained",
    "Transpose",
    "__version__",
    "check_precision",
    "compare",
    "detector",
    "evaluate",
    "from_guitarml",
    "from_keras",
    "from_nam",
    "from_onnx",
    "from_rtneural",
    "from_tensorflow",
    "from_tflite",
    "from_torch",
    "load_any",
    "predict",
    "sparse_seq",
    "to_onnx",
    "train",
]


def __getattr__(name: str) -> "Any":
    """Import a public name when it is first used, so that importing the package costs nothing."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, also those that were not used yet."""
    return __all__
