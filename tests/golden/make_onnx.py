"""Make onnx_*.onnx and onnx.npz: networks in ONNX, with the outputs of ONNX Runtime.

    pip install torch==2.13.0 onnx onnxscript onnxruntime
    python tests/golden/make_onnx.py

Networks of PyTorch by both of its exporters, and nodes with options that PyTorch does not have.
For each file, onnx.npz holds 200 observations (``NAME.x[T, F]``) and ONNX Runtime's outputs over
the whole sequence (``NAME.y[T, O]``); onnx's reference evaluator gave the same where it knows all
of the options.
"""

import io
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

STEPS, F, H = 200, 3, 9
FOLDER = Path(__file__).parent


class Network(nn.Module):
    """A recurrent layer, normalisation, two dense layers with an activation between them."""

    def __init__(self, kind: str, layers: int, batch_first: bool, trained: bool) -> None:
        super().__init__()
        self.recurrent = getattr(nn, kind)(F, H, layers, batch_first=batch_first)
        self.norm = nn.LayerNorm(H)
        self.dense, self.head = nn.Linear(H, 6), nn.Linear(6, 2)
        self.activation = nn.GELU() if kind == "LSTM" else nn.SiLU()
        if trained:
            self.h0 = nn.Parameter(torch.zeros(layers, 1, H))
            self.c0 = nn.Parameter(torch.zeros(layers, 1, H))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = None
        if hasattr(self, "h0"):
            state = (self.h0, self.c0) if isinstance(self.recurrent, nn.LSTM) else self.h0
        y = self.norm(self.recurrent(x, state)[0])
        return self.head(self.activation(self.dense(y)))


def export(kind: str, layers: int, first: bool, trained: bool, opset: int, new: bool) -> Any:
    """Return a ModelProto by one of PyTorch's exporters, its steps open where it can be."""
    network = Network(kind, layers, first, trained).eval()
    generator = torch.Generator().manual_seed(layers + opset)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.4)
    x = torch.zeros(1, STEPS, F) if first else torch.zeros(STEPS, 1, F)
    if new:
        program = torch.onnx.export(network, (x,), dynamo=True, opset_version=opset, verbose=False)
        return program.model_proto
    file = io.BytesIO()
    axes = {"x": {1 if first else 0: "time"}}
    torch.onnx.export(
        network, (x,), file, dynamo=False, opset_version=opset, input_names=["x"], dynamic_axes=axes
    )
    return onnx.load_model_from_string(file.getvalue())


def single(op: str, gates: int, extra: Sequence[str] = (), **attributes: Any) -> Any:
    """Return a graph of one node, with initial states and what ``extra`` names."""
    rng = np.random.default_rng(gates + len(attributes))
    shapes = {"W": (1, gates * H, F), "R": (1, gates * H, H), "B": (1, 2 * gates * H)}
    states = ["h0", "c0"] if op == "LSTM" else ["h0"]
    shapes |= dict.fromkeys(states, (1, 1, H))
    if "P" in extra:
        shapes["P"] = (1, 3 * H)
    inputs = ["x", "W", "R", "B", "", *states, *extra]
    node = helper.make_node(op, inputs, ["y4"], hidden_size=H, **attributes)
    squeeze = helper.make_node("Squeeze", ["y4", "axis"], ["y"])
    constants = {
        name: (rng.standard_normal(s) * 0.5).astype(np.float32) for name, s in shapes.items()
    }
    constants["axis"] = np.array([1])
    graph = helper.make_graph(
        [node, squeeze],
        op,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["time", "batch", F])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["time", "batch", H])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    model.ir_version = 8
    return model


def cases() -> dict[str, tuple[Any, bool, bool]]:
    """Return each model, whether the batch is its first axis, and whether onnx knows it all."""
    leaky = {"activation_alpha": [0.3, 0.05], "activation_beta": [0.45]}
    return {
        "torch_lstm_opset9": (export("LSTM", 1, True, False, 9, False), True, True),
        "torch_lstm_trained": (export("LSTM", 2, False, True, 13, False), False, True),
        "torch_lstm_new": (export("LSTM", 2, True, True, 18, True), True, True),
        "torch_gru_opset17": (export("GRU", 2, True, False, 17, False), True, True),
        "torch_gru_new": (export("GRU", 1, False, False, 20, True), False, True),
        "torch_rnn_opset13": (export("RNN", 2, True, True, 13, False), True, True),
        "lstm_peephole": (single("LSTM", 4, ["P"]), False, True),
        "gru_before": (single("GRU", 3), False, True),
        "gru_after": (single("GRU", 3, linear_before_reset=1), False, True),
        "lstm_coupled": (single("LSTM", 4, input_forget=1), False, False),
        "lstm_activations": (
            single(
                "LSTM",
                4,
                activations=["HardSigmoid", "Softsign", "Tanh"],
                activation_alpha=[0.3],
                activation_beta=[0.4],
            ),
            False,
            False,
        ),
        "gru_activations": (
            single("GRU", 3, activations=["HardSigmoid", "LeakyRelu"], clip=3.0, **leaky),
            False,
            False,
        ),
        "rnn_relu": (single("RNN", 1, activations=["Relu"], clip=1.5), False, False),
    }


def strip(model: Any) -> None:
    """Remove what exporters record about the machine they ran on."""
    graph = model.graph
    for entry in (*graph.node, *graph.value_info, *graph.input, *graph.output, graph, model):
        entry.doc_string = ""
        del entry.metadata_props[:]


def make() -> None:
    """Write all cases."""
    arrays = {}
    for number, (name, (model, first, known)) in enumerate(cases().items()):
        x = np.random.default_rng(number).standard_normal((STEPS, F)).astype(np.float32)
        feeds = {model.graph.input[0].name: x[None] if first else x[:, None]}
        y = ort.InferenceSession(model.SerializeToString()).run(None, feeds)[0]
        if known:
            other = ReferenceEvaluator(model).run(None, feeds)[0]
            assert np.max(np.abs(y - other)) < 1e-5, name
        strip(model)
        onnx.save(model, FOLDER / f"onnx_{name}.onnx")
        arrays[f"{name}.x"], arrays[f"{name}.y"] = x, y[0] if first else y[:, 0]
    np.savez_compressed(FOLDER / "onnx.npz", **arrays)
    print(f"onnx {onnx.__version__}, onnxruntime {ort.__version__}, torch {torch.__version__}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    make()
