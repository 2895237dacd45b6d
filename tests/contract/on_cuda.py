"""Run the contract suite with the cuda backend, on a GPU or in numba's simulator.

    [NUMBA_ENABLE_CUDASIM=1] python -m tests.contract.on_cuda KERNEL [few] [PYTEST OPTION ...]

In the root of the repository, with one of the KERNELS below, and ``few`` for one model of each kind
(models.FEW). The simulator runs each thread of a
GPU as one of Python, many thousand times slower than a GPU would: models are small there, with each
layer and option once.
"""

import sys
from functools import partialmethod

import pytest

from streamlstm import (
    GRU,
    LSTM,
    RNN,
    Attention,
    Bidirectional,
    Conv1D,
    Dense,
    Embedding,
    Flatten,
    LayerNorm,
    Parallel,
    Pointwise,
    Pool,
    Repeat,
    Reverse,
    SoftmaxOverRows,
    Transpose,
)
from streamlstm.backends.cuda import backend
from streamlstm.kernels.cuda.sizes import SIMULATED
from streamlstm.network.activations import PARAMETERS
from streamlstm.network.layers import Layer

from . import models
from .models import (
    EVERYTHING,
    FORECASTERS,
    STAGES,
    random_model,
    several_horizons,
    staged,
    windowed,
    with_scaled_skip,
)
from .simulator import hurry

LAYERS: dict[str, list[Layer]] = {
    "smallest": [LSTM(1, 1)],
    "plain": [LSTM(3, 5), Dense(5, 2)],
    "whole panels": [LSTM(2, 8), Dense(8, 4)],
    "stack": [LSTM(2, 6), LSTM(6, 3), Dense(3, 2, "sigmoid")],
    "no memory": [Dense(3, 14, "relu"), Dense(14, 2)],
    "initial state": [LSTM(3, 5, initial_state=True)],
    "peephole": [LSTM(3, 5, peephole=True)],
    "projection": [LSTM(3, 6, projection_size=3)],
    "wide projection": [LSTM(3, 3, projection_size=13, projection_clip=0.3)],
    "coupled": [LSTM(3, 6, coupled=True)],
    "layer norm": [LSTM(2, 7, layer_norm=True)],
    "clips": [LSTM(3, 5, gate_clip=0.7, cell_clip=0.4)],
    "hard sigmoid": [LSTM(3, 5, gate_activation="hard_sigmoid")],
    "other activations": [
        LSTM(3, 5, candidate_activation="softsign", cell_activation="scaled_tanh(1.2, 0.8)")
    ],
    "everything": [LSTM(3, 6, projection_size=5, **EVERYTHING)],
    "gru": [GRU(3, 7, initial_state=True), Dense(7, 1)],
    "gru, other activations": [
        GRU(3, 5, gate_clip=1.0, gate_activation="hard_sigmoid", candidate_activation="softplus")
    ],
    "gru, reset before": [GRU(3, 5, reset_after=False, initial_state=True)],
    "rnn": [RNN(3, 7, initial_state=True)],
    "rnn, relu": [RNN(3, 5, "relu", gate_clip=0.8)],
    "mixed": [GRU(2, 5), LSTM(5, 4, peephole=True), RNN(4, 6), LayerNorm(6), Dense(6, 2)],
    "softmax": [LSTM(2, 4), Dense(4, 7, "softmax")],
    "log softmax": [Dense(3, 5, "log_softmax")],
    "softmax by itself": [GRU(2, 5), Pointwise(5, "softmax")],
    "layer norm first": [LayerNorm(9, 1e-3), LSTM(9, 3)],
    "pointwise": [Pointwise(3, "leaky_relu(0.2)"), LSTM(3, 4), Pointwise(4)],
    "embedding": [Embedding(1, 11, 3), LSTM(3, 5), Dense(5, 11, "softmax")],
    "embedding beside numbers": [Embedding(3, 30, 5), GRU(7, 4)],
    "convolutions, step by step": [
        Conv1D(2, 3, 3, dilation=2, pad_left=4, activation="relu"),
        LSTM(3, 2),
        Conv1D(2, 3, 2, pad_left=1),
        Conv1D(3, 2, 1, activation="tanh"),
    ],
    "branches, step by step": [
        Parallel(
            2,
            [
                [Conv1D(2, 5, 2, pad_left=1), Parallel(5, [[], [GRU(5, 1)]], "multiply")],
                [LSTM(2, 3, peephole=True)],
                [],
            ],
            "concatenate",
        ),
        Parallel(10, [[], [Dense(10, 10, "tanh")], [Dense(10, 1)]]),
    ],
}
# Layers, rows of the window, and what happens before there are as many.
WINDOWS: dict[str, tuple[list[Layer], int, str]] = {
    "window": ([LSTM(3, 5, initial_state=True), Dense(5, 2)], 3, "answer"),
    "window that waits": ([LayerNorm(2), GRU(2, 3, reset_after=False), LSTM(3, 2)], 3, "wait"),
    "window padded with the first row": ([Embedding(3, 9, 4), RNN(6, 5), Dense(5, 2)], 2, "first"),
    "window that waits, branches": ([Parallel(2, [[], [LSTM(2, 2)]]), Dense(2, 3)], 3, "wait"),
    "window, branches": (
        [
            Parallel(
                3,
                [
                    [
                        Bidirectional(3, LSTM(3, 2)),
                        Parallel(4, [[], [Pool(4), Dense(4, 1, "tanh")]], "multiply"),
                    ],
                    [Dense(3, 17), Reverse(17), Pool(17, "max")],
                    [],
                ],
                "concatenate",
            ),
            Parallel(24, [[Pool(24)], [Conv1D(24, 24, 3, pad_left=2)]]),
            Dense(24, 2),
        ],
        3,
        "answer",
    ),
    "window, several heads": (
        [
            Dense(3, 9),
            Parallel(9, [[], [Attention(9, "each", 0.4, heads=3, key_size=1), Dense(3, 9)]]),
            Attention(9, "each", 0.9, join=True, key_size=3, causal=True),
            Transpose(6, 4),
            Dense(4, 4, "tanh"),
            Transpose(4, 6),
            Parallel(6, [[], [Dense(6, 1, "tanh"), SoftmaxOverRows(1)]], "multiply"),
            Pool(6, "sum"),
            Dense(6, 2),
        ],
        4,
        "first",
    ),
    "window, convolution, both ways": (
        [
            Conv1D(2, 3, 3, dilation=2, pad_left=4, activation="relu"),
            Pool(3, "max", 2, stride=1, pad_right=1),
            Bidirectional(3, LSTM(3, 2)),
            Pool(4),
            Dense(4, 2),
        ],
        3,
        "answer",
    ),
    "window, decoder": (
        [
            Bidirectional(3, GRU(3, 2, reset_after=False), "ave", sequence=False),
            Repeat(2, 3),
            LSTM(2, 3, layer_norm=True),
            Dense(3, 2, "tanh"),
            Flatten(2, 3, by_feature=True),
        ],
        3,
        "wait",
    ),
    "window, attention": (
        [
            Embedding(2, 9, 2),
            Reverse(3),
            RNN(3, 4),
            Attention(4, "each", 0.3),
            Attention(4, join=True),
            Dense(8, 3, "softmax"),
        ],
        3,
        "first",
    ),
    "window, head over all rows": (
        [
            Conv1D(2, 3, 2, stride=2, pad_left=1),
            Pool(3, "mean", 3, 2, 1, 1, count_padding=True),
            Bidirectional(3, RNN(3, 2, initial_state=True), "mul"),
            LayerNorm(2),
            Flatten(2, 2),
            Dense(4, 5, "softsign"),
        ],
        6,
        "zeros",
    ),
}
SMALL = {
    **{name: random_model(layers) for name, layers in LAYERS.items()},
    **{f"dense {name}": random_model([Dense(2, 5, name)]) for name in PARAMETERS},
    "scaled": random_model([LSTM(3, 5), Dense(5, 4)], scaled=True),
    "skip with factors": with_scaled_skip(random_model([Dense(3, 7)], scaled=True)),
    **{name: windowed(*parts) for name, parts in WINDOWS.items()},
    "window, online, all": staged(STAGES["all"], units=5).with_window(3, "answer"),
    **{f"online, {name}": staged(online, units=5) for name, online in STAGES.items()},
    **{f"online, {name}": several_horizons(*a, units=5) for name, a in FORECASTERS.items()},
}
KERNELS = ("any", "resident", "shared", "spilled", "scalar")


def every(kernel: str) -> None:
    """Let all backends that are made from now on step with a kernel; with "any" they choose."""
    make = backend.CudaBackend.__init__
    forced = partialmethod(make, kernel=None if kernel == "any" else kernel)
    backend.CudaBackend.__init__ = forced  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    models.BACKENDS = ("cuda",)
    every(sys.argv[1])
    if SIMULATED:
        hurry()
        models.MODELS = SMALL
        models.SIZES, models.STEPS, models.CROWD = (1, 3, 9), 5, 10
    given = sys.argv[2:]
    if given[:1] == ["few"]:
        given.pop(0)
        models.MODELS = {name: models.MODELS[name] for name in models.FEW}
    suite = "tests/contract/test_contract.py"
    options = [
        "-q",
        "-k",
        "cuda",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    sys.exit(pytest.main([suite, *options, *given]))
