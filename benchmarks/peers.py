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


def openvino_step(
    layer: LSTM, weights: dict[str, Any], X: Any, narrow: bool = False
) -> Step | None:
    """Return a step of OpenVINO's LSTMCell for X[B, F], on one thread, starting from zero state.

    In float32, or with ``narrow`` in what OpenVINO chooses by itself: bfloat16 where the processor
    adds products of it. State goes back and forth between two pairs of arrays, without a copy.
    """
    try:
        import openvino
        from openvino import opset13 as ops
    except ImportError:
        return None
    H, F, B = layer.hidden_size, layer.input_size, len(X)

    def gates(name: str) -> Any:  # ours i, f, g, o; theirs f, i, g, o
        i, f, g, o = np.split(np.asarray(weights[name], np.float32), 4)
        return ops.constant(np.concatenate([f, i, g, o]))

    inputs = [ops.parameter([B, width], np.float32) for width in (F, H, H)]
    arrays = (gates("weight_ih"), gates("weight_hh"), gates("bias"))
    cell = ops.lstm_cell(*inputs, *arrays, H)
    options: dict[str, Any] = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    if not narrow:
        options["INFERENCE_PRECISION_HINT"] = "f32"
    model = openvino.Model([cell.output(0), cell.output(1)], inputs, "lstm")
    compiled = openvino.Core().compile_model(model, "CPU", options)
    states = [[np.zeros((B, H), np.float32) for _ in range(2)] for _ in range(2)]
    requests = []
    for before, after in ((0, 1), (1, 0)):
        request = compiled.create_infer_request()
        for n, array in enumerate((X, *states[before])):
            request.set_input_tensor(n, openvino.Tensor(array, shared_memory=True))
        for n, array in enumerate(states[after]):
            request.set_output_tensor(n, openvino.Tensor(array, shared_memory=True))
        requests.append((request, states[after]))

    def step() -> tuple[Any, ...]:
        request, after = requests[0]
        request.infer()
        requests.reverse()
        return after[0], after[1]

    return step


def njit_step(layer: LSTM, weights: dict[str, Any], X: Any) -> Step:
    """Return a step of one stream compiled by Numba, written with np.dot; from zero state."""
    from numba import njit

    W = np.ascontiguousarray(np.concatenate([weights["weight_ih"], weights["weight_hh"]], axis=1))
    W, bias, H = W.astype(np.float32), weights["bias"].astype(np.float32), layer.hidden_size

    @njit
    def advance(x: Any, h: Any, c: Any) -> Any:
        gates = np.dot(W, np.concatenate((x, h))) + bias
        i = 1 / (1 + np.exp(-gates[:H]))
        f = 1 / (1 + np.exp(-gates[H : 2 * H]))
        g = np.tanh(gates[2 * H : 3 * H])
        o = 1 / (1 + np.exp(-gates[3 * H :]))
        c = f * c + i * g
        return o * np.tanh(c), c

    state = [np.zeros(H, np.float32)] * 2

    def step() -> tuple[Any, ...]:
        state[:] = advance(X[0], *state)
        return state[0][None], state[1][None]

    return step
