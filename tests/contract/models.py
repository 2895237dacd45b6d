"""Models of every layer and shape, with random weights that differ for every gate."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from streamlstm import (
    GRU,
    LSTM,
    RNN,
    Conv1D,
    Dense,
    Embedding,
    LayerNorm,
    Model,
    Online,
    Parallel,
    Pointwise,
    Scaling,
)
from streamlstm.kernels.layout import GROUP
from streamlstm.network.activations import PARAMETERS
from streamlstm.network.layers import Layer

from .windows import WINDOWS


def random_model(
    layers: Sequence[Layer], seed: int = 0, scaled: bool = False, **options: Any
) -> Model:
    """Return a model whose every gate has weights of a scale and an offset of its own."""
    rng = np.random.default_rng(seed)
    weights = []
    for layer in layers:
        arrays = {}
        for name, shape in layer.parameters().items():
            spread = np.repeat(rng.uniform(0.3, 1.5, 4), -(-shape[0] // 4))[: shape[0]]
            array = rng.standard_normal(shape) / np.sqrt(shape[-1])
            array *= spread.reshape(-1, *[1] * (len(shape) - 1))
            arrays[name] = array + 0.3 * name.startswith(("bias", "norm"))
        weights.append(arrays)
    if not scaled:
        return Model(layers, weights, **options)
    F, O = layers[0].input_size, layers[-1].output_size
    return Model(
        layers,
        weights,
        input_scaling=Scaling(rng.normal(0, 3, F), rng.uniform(0.5, 2, F)),
        output_scaling=Scaling(rng.normal(0, 3, O), rng.uniform(0.5, 2, O)),
        skip=[-1 if n % 3 == 2 else n % F for n in range(O)],
        **options,
    )


def with_scaled_skip(model: Model) -> Model:
    """Return a model that adds its inputs multiplied by factors, and one that it adds as it is."""
    F, O = model.input_size, model.output_size
    return Model(
        model.layers,
        model.weights,
        input_scaling=model.input_scaling,
        output_scaling=model.output_scaling,
        skip=[-1 if n % 3 == 1 else (n + 1) % F for n in range(O)],
        skip_scale=[1.0, *np.random.default_rng(3).uniform(-2, 2, O - 1)],
    )


def lstm(F: int, H: int, **options: Any) -> LSTM:
    """Return an LSTM with options, for the table below."""
    return LSTM(F, H, **options)


PLAIN = {
    "smallest": random_model([LSTM(1, 1)]),
    "odd": random_model([LSTM(3, 5), Dense(5, 2)], scaled=True),
    "even": random_model([LSTM(8, 16), Dense(16, 1)]),
    "one over": random_model([LSTM(2, 17), Dense(17, 17, "tanh")]),
    "usual": random_model([LSTM(8, 64), Dense(64, 1)], scaled=True),
    "wide head": random_model([LSTM(5, 24), Dense(24, 131, "relu")], scaled=True),
    "stack": random_model([LSTM(4, 33), LSTM(33, 40), LSTM(40, 7), Dense(7, 3, "sigmoid")]),
    "dense first": random_model([Dense(6, 70, "tanh"), LSTM(70, 12), Dense(12, 4)]),
    "no memory": random_model([Dense(3, 20, "relu"), Dense(20, 2)], scaled=True),
    "skip with factors": with_scaled_skip(random_model([LSTM(3, 9), Dense(9, 21)], scaled=True)),
    "wider than a group": random_model([LSTM(130, 9), Dense(9, 1)]),
}
EVERYTHING: dict[str, Any] = {
    "peephole": True,
    "layer_norm": True,
    "coupled": True,
    "gate_clip": 2.0,
    "cell_clip": 1.5,
    "projection_clip": 0.9,
    "initial_state": True,
    "candidate_activation": "hard_sigmoid",
}
OPTIONS = {
    "initial state": lstm(3, 20, initial_state=True),
    "peephole": lstm(3, 20, peephole=True),
    "projection": lstm(3, 40, projection_size=13),
    "wide projection": lstm(3, 9, projection_size=70, projection_clip=0.3),
    "coupled": lstm(5, 17, coupled=True),
    "layer norm": lstm(3, 37, layer_norm=True),
    "clips": lstm(3, 20, gate_clip=0.7, cell_clip=0.4),
    "hard sigmoid": lstm(3, 20, gate_activation="hard_sigmoid"),
    "other activations": lstm(
        3,
        20,
        gate_activation="hard_sigmoid(0.2, 0.5)",
        candidate_activation="softsign",
        cell_activation="scaled_tanh(1.2, 0.8)",
    ),
    "everything": lstm(6, 35, projection_size=21, **EVERYTHING),
    "everything but coupled": lstm(
        6, 35, projection_size=21, peephole=True, layer_norm=True, initial_state=True
    ),
    "mish and hard silu": lstm(3, 20, candidate_activation="mish", cell_activation="hard_silu"),
    "gru": GRU(8, 64),
    "odd gru": GRU(3, 21, initial_state=True),
    "gru, other activations": GRU(
        3, 18, gate_clip=1.0, gate_activation="hard_sigmoid", candidate_activation="softplus"
    ),
    "gru, reset before": GRU(5, 33, reset_after=False, initial_state=True),
    "gru, reset before, other activations": GRU(
        2, 70, reset_after=False, gate_clip=1.0, candidate_activation="hard_sigmoid"
    ),
    "rnn": RNN(8, 64),
    "odd rnn": RNN(3, 87, initial_state=True),
    "rnn, relu": RNN(3, 20, "relu", gate_clip=0.8),
}
CHAINS: dict[str, list[Layer]] = {
    "mixed": [GRU(4, 20), LSTM(20, 9, peephole=True), RNN(9, 30), LayerNorm(30), Dense(30, 2)],
    "softmax": [LSTM(3, 12), Dense(12, 21, "softmax")],
    "log softmax": [LSTM(3, 12), Dense(12, 5, "log_softmax")],
    "softmax by itself": [GRU(3, 12), Pointwise(12, "softmax")],
    "layer norm first": [LayerNorm(37, 1e-3), LSTM(37, 8)],
    "pointwise": [Pointwise(5, "leaky_relu(0.2)"), LSTM(5, 8), Pointwise(8), Dense(8, 1)],
}
CHAINS["convolutions, step by step"] = [
    Conv1D(3, 19, 3, dilation=2, pad_left=4, activation="relu"),
    LSTM(19, 12),
    Conv1D(12, 5, 4, pad_left=3),  # it sees more numbers than come in and go out
    Conv1D(5, 2, 1, activation="tanh"),
]
CHAINS["branches, step by step"] = [
    Parallel(
        5,
        [
            [
                Conv1D(5, 20, 2, pad_left=1),
                Parallel(20, [[], [Dense(20, 7), GRU(7, 1)]], "multiply"),
            ],
            [LSTM(5, 3, peephole=True)],
            [],
        ],
        "concatenate",
    ),
    Parallel(28, [[], [Dense(28, 28, "tanh")], [Dense(28, 1)]]),
]
EMBEDDED: dict[str, list[Layer]] = {
    "embedding": [Embedding(1, 11, 6), LSTM(6, 20), Dense(20, 11, "softmax")],
    "embedding beside numbers": [Embedding(4, 300, 17), GRU(20, 20), Dense(20, 1)],
}
STAGES = {
    "intervals": Online(intervals=(0.5, 0.9), lower=-3.0),
    "last and upper": Online(fill="last", intervals=(0.95,), side="upper"),
    "calendar": Online(calendar=("hour", "weekday", "since"), zone="Europe/Zurich", spacing=60.0),
    "scaling by stream": Online(fill="last", scale="stream", intervals=(0.9,)),
    "filled": Online(fill=("mean", "predict", "zero"), max_gap=3, intervals=(0.9,)),
    "anomaly": Online(fill="last", anomaly=True, alarm_rate=0.01),
    "mix": Online(adapt="mix", intervals=(0.9,)),
    "adapted": Online(fill="last", adapt="rls", season=5, intervals=(0.5, 0.9)),
    "all": Online(
        fill="last",
        calendar=("hour", "yearday"),
        scale="stream",
        adapt="rls",
        labels=7,
        intervals=(0.8,),
        anomaly=True,
    ),
}


def staged(online: Online, horizon: int = 2, units: int = 17) -> Model:
    """Return a model with an online stage, which forecasts two of its three inputs."""
    network = random_model([LSTM(3 + online.derived, units), Dense(units, 2)], seed=5)
    return Model(
        network.layers,
        network.weights,
        inputs=["a", "b", "c"],
        outputs=["c", "a"],
        input_scaling=Scaling([0.3, -0.2, 0.1], [1.5, 0.7, 1.1]),
        output_scaling=Scaling([0.1, 0.0], [0.6, 0.9]),
        skip=[2, -1],
        horizon=horizon,
        online=online,
    )


def several_horizons(online: Online, lags: Sequence[int] = (), units: int = 17) -> Model:
    """Return a model with two outputs one step ahead, one three and one two steps ahead."""
    network = random_model([LSTM(3 + online.derived, units), Dense(units, 4)], seed=6)
    weights = np.random.default_rng(7).normal(0, 0.3, (4, len(lags))) if lags else None
    return Model(
        network.layers,
        network.weights,
        inputs=["a", "b", "c"],
        outputs=["c@+1", "a@+1", "c@+3", "b@+2"],
        input_scaling=Scaling([0.3, -0.2, 0.1], [1.5, 0.7, 1.1]),
        output_scaling=Scaling([0.1, 0.0, 0.2, -0.1], [0.6, 0.9, 1.1, 0.8]),
        skip=[2, -1, 2, 1],
        horizon=[1, 1, 3, 2],
        online=online,
        lags=lags,
        lag_weights=weights,
    )


ALL_WINDOWS = WINDOWS | {
    "window, options": ([OPTIONS["everything"], LayerNorm(21), Dense(21, 2)], 3, "answer")
}


def windowed(layers: Sequence[Layer], window: int, start: str) -> Model:
    """Return a model that runs over windows."""
    embedded = isinstance(layers[0], Embedding)
    return random_model(layers, scaled=not embedded, window=window, start=start)


# What stands around a network with several horizons, and the lags of its linear part.
FORECASTERS: dict[str, tuple[Online, tuple[int, ...]]] = {
    "lags": (Online(), (0, 1, 2, 5, 11)),
    "lags, scaling by stream": (Online(fill="last", scale="stream"), (3,)),
    "horizons": (
        Online(fill="predict", adapt="rls", season=4, intervals=(0.5, 0.9), anomaly=True),
        (),
    ),
    "horizons, all": (
        Online(
            fill="last",
            calendar=("hour", "yearday"),
            scale="stream",
            adapt="mix",
            labels=7,
            intervals=(0.8,),
            anomaly=True,
        ),
        (0, 4, 6),
    ),
}
MODELS = (
    PLAIN
    | {f"online, {name}": several_horizons(*parts) for name, parts in FORECASTERS.items()}
    | {name: windowed(*parts) for name, parts in ALL_WINDOWS.items()}
    | {
        f"window, online, {name}": staged(STAGES[name]).with_window(6, start)
        for name, start in (("all", "answer"), ("filled", "first"), ("calendar", "zeros"))
    }
    | {f"online, {name}": staged(online) for name, online in STAGES.items()}
    | {n: random_model([layer, Dense(layer.output_size, 3)]) for n, layer in OPTIONS.items()}
    | {n: random_model(layers) for n, layers in CHAINS.items()}
    | {n: random_model(layers) for n, layers in EMBEDDED.items()}
    | {
        f"dense {n}": random_model([LSTM(3, 7), Dense(7, 33, n), Dense(33, 2)])
        for n in PARAMETERS
        if n not in ("linear", "relu", "tanh", "sigmoid")
    }
)
BACKENDS = ("reference", "cpu")
# One of each kind, among these models and the small ones of on_cuda.py.
FEW = (
    "smallest",
    "everything",
    "gru, reset before",
    "mixed",
    "softmax",
    "embedding",
    "skip with factors",
    "convolutions, step by step",
    "window, branches",
    "window, online, all",
    "online, filled",
    "online, horizons, all",
)

# How much the suite steps: blocks of these sizes, so often, among so many streams.
SIZES: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 13, GROUP - 1, GROUP, GROUP + 1, 3 * GROUP + 5)
STEPS, CROWD = 12, 50
