"""LSTM steps of other libraries, with the state passed in and out, for comparison.

The function of a library that is not installed returns None, and the benchmark reports that.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from streamlstm.network.layers import LSTM

Step = Callable[[], tuple[Any, ...]]


def torch_step(layer: LSTM, weights: dict[str, Any], X: Any) -> Step | None:
    """Return a step of PyTorch's LSTMCell for the block X[B, F], starting from zero state."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    cell = torch.nn.LSTMCell(layer.input_size, layer.hidden_size)
    with torch.no_grad():
        cell.weight_ih.copy_(torch.tensor(weights["weight_ih"]))
        cell.weight_hh.copy_(torch.tensor(weights["weight_hh"]))
        cell.bias_ih.copy_(torch.tensor(weights["bias"]))
        cell.bias_hh.zero_()
    state = [torch.zeros(len(X), layer.hidden_size)] * 2
    x = torch.tensor(X)

    def step() -> tuple[Any, ...]:
        with torch.inference_mode():
            state[:] = cell(x, tuple(state))
        return state[0].numpy(), state[1].numpy()

    return step


def onnxruntime_step(layer: LSTM, weights: dict[str, Any], X: Any) -> Step | None:
    """Return a step of ONNX Runtime's LSTM node for X[B, F], starting from zero state."""
    try:
        import onnx
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        return None
    H, F, B = layer.hidden_size, layer.input_size, len(X)

    def gates(array: Any) -> Any:  # ours i, f, g, o; theirs i, o, f, c
        i, f, g, o = np.split(np.asarray(array), 4)
        return np.concatenate([i, o, f, g])

    bias = np.concatenate([gates(weights["bias"]), np.zeros(4 * H, np.float32)])
    arrays = {"W": gates(weights["weight_ih"]), "R": gates(weights["weight_hh"]), "B": bias}

    def value(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [
            helper.make_node(
                "LSTM", ["X", "W", "R", "B", "", "h", "c"], ["", "h_out", "c_out"], hidden_size=H
            )
        ],
        "lstm",
        [value("X", 1, B, F), value("h", 1, B, H), value("c", 1, B, H)],
        [value("h_out", 1, B, H), value("c_out", 1, B, H)],
        [numpy_helper.from_array(array[None], name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"X": X[None], "h": np.zeros((1, B, H), "f4"), "c": np.zeros((1, B, H), "f4")}

    def step() -> tuple[Any, ...]:
        feed["h"], feed["c"] = session.run(None, feed)
        return feed["h"][0], feed["c"][0]

    return step
