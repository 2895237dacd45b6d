"""Export to ONNX: a graph of one step with its state, or of one window."""

from os import PathLike, fspath

from ...errors import ConvertError
from ...files import check_path
from ...network.model import Model
from ..common.frameworks import require
from .step_graph import StepGraph
from .window_graph import WindowGraph


def to_onnx(model: Model, path: str | PathLike[str]) -> None:
    """Write a model as an ONNX graph that computes one step of a batch of streams, or one window.

    The graph of a window model has one input, ``window`` float32[batch, T, F], the last T
    observations with the oldest first, and the output ``prediction``. That of any other has

    ======================  ===================  ==================================================
    input                   shape                what
    ======================  ===================  ==================================================
    ``observation``         float32[batch, F]    in the unit of the series
    ``layerN.h``            float32[batch, H]    hidden state of layer N (P if it is projected)
    ``layerN.c``            float32[batch, H]    cell state of layer N, if it is an LSTM
    ======================  ===================  ==================================================

    With offsets the observation and the prediction are float64. The outputs are ``prediction``,
    float32[batch, O], and for each state its successor,
    ``layerN.h.next`` and ``layerN.c.next``: feed them back with the next observation. A new stream
    starts from zeros, or from the vectors under ``initial`` in the graph's metadata (key
    ``streamlstm``, JSON, with the names of inputs and outputs and the horizon).

    Parameters
    ----------
    model : Model
    path : path
        The .onnx file to write.

    Raises
    ------
    ConvertError
        If onnx is not installed, or the model's online stage changes what the network gets or
        says, or a linear part of its last values does: a graph holds the network alone.
    """
    if not isinstance(model, Model):
        raise ConvertError(f"to_onnx: expected a Model, got {type(model).__name__}.")
    if model.counters:
        raise ConvertError(
            "to_onnx: expected a model that takes its inputs as they are, got one that takes the "
            f"changes of {', '.join(model.counters)} from what it remembers; model.of_changes() is "
            "one to which changes are given."
        )
    if model.lags:
        raise ConvertError(
            "to_onnx: expected a model whose outputs are those of its network, got one with a "
            "linear part of the last values beside it; `streamlstm train --no-linear` makes one "
            "without."
        )
    online = model.online
    if online is not None and (
        online.calendar or online.scale != "model" or online.adapt != "none"
    ):
        raise ConvertError(
            "to_onnx: expected a model whose outputs are those of its network, got one whose "
            "online stage changes them; model.with_online(None) is the network alone."
        )
    target = check_path(path, ConvertError, "an .onnx file to write")
    onnx = require("onnx", "write ONNX files")
    graph = StepGraph(model) if model.window is None else WindowGraph(model)
    proto = graph.proto()
    onnx.checker.check_model(proto)
    try:
        onnx.save(proto, fspath(target))
    except OSError as error:
        raise ConvertError(f"{target}: cannot be written: {error.strerror}.") from None
