"""Export to ONNX: a graph of one step with its state, or of one window."""

from os import PathLike, fspath

from ...errors import ConvertError
from ...files import check_path
from ...network.layers import Parallel
from ...network.model import Model
from ..common.frameworks import require
from .rows_graph import RowsGraph
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
    ``lags``                float32[batch, L C]  of a linear part: the scaled values of the last L
                                                 steps of the C inputs that it reads, latest first
    ``lags.count``          float32[batch, 1]    how many of these steps there were
    ``counters``            float64[batch, D]    the last values of D counters
    ``counters.seen``       float32[batch, 1]    1 if there were any
    ======================  ===================  ==================================================

    With offsets or counters the observation and the prediction are float64. The outputs are
    ``prediction``, float32[batch, O], and for each state its successor,
    ``layerN.h.next``, ``lags.next``, ...: feed them back with the next observation. A new stream
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
        says: a graph holds the network, its linear part and the changes of counters alone.
    """
    if not isinstance(model, Model):
        raise ConvertError(f"to_onnx: expected a Model, got {type(model).__name__}.")
    if model.counters and model.window is not None:
        raise ConvertError(
            "to_onnx: expected a window model that takes its inputs as they are: its graph takes "
            f"one window and keeps no state, as the changes of {', '.join(model.counters)} need; "
            "model.of_changes() is one to which changes are given."
        )
    if model.lags and model.window is not None:
        raise ConvertError(
            "to_onnx: expected a window model without a linear part: its graph takes one window "
            "and keeps no state; `streamlstm train --no-linear` makes one without."
        )
    online = model.online
    if online is not None and (
        online.calendar or online.scale != "model" or online.adapt != "none"
    ):
        raise ConvertError(
            "to_onnx: expected a model whose outputs are those of its network, got one whose "
            f"online stage changes them; {_without_stage(model)}."
        )
    if online is not None and any(online.fill_of(n) != "refuse" for n in model.differences):
        raise ConvertError(
            "to_onnx: expected counters that are not filled: where one begins again its change is "
            f"what the online stage fills in, which a graph does not hold; {_without_stage(model)}."
        )
    target = check_path(path, ConvertError, "an .onnx file to write")
    onnx = require("onnx", "write ONNX files")
    kind = StepGraph
    if model.window is not None:
        over = any(layer.over_rows or isinstance(layer, Parallel) for layer in model.layers)
        kind = RowsGraph if over else WindowGraph
    graph = kind(model)
    proto = graph.proto()
    onnx.checker.check_model(proto)
    try:
        onnx.save(proto, fspath(target))
    except OSError as error:
        raise ConvertError(f"{target}: cannot be written: {error.strerror}.") from None


def _without_stage(model: Model) -> str:
    if not model.lags:
        return "model.with_online(None) is the network alone"
    return "model.with_online(Online()) is the network with its linear part"
