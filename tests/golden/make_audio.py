"""Make rtneural_*, aidax_* and guitarml_*.json: networks in formats of audio plugins, with outputs.

    pip install keras==3.15.1 torch==2.13.0 && KERAS_BACKEND=torch python tests/golden/make_audio.py

The networks of the first two kinds are computed by Keras, those of the last by PyTorch; what the
plugins do around them (gains in decibel, the input added to the output) is done here as their
sources do it. The layout of the files is that of RTNeural's python/model_utils.py, of AIDA-X's
loader, and of save_model in CoreAudioML/networks.py. ``audio.npz`` holds ``NAME.x`` and ``NAME.y``.
"""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from make_keras import randomize

L, STEPS, HERE = keras.layers, 250, Path(__file__).parent
TYPES = {
    "TimeDistributed": "time-distributed-dense",
    "GRU": "gru",
    "LSTM": "lstm",
    "Dense": "dense",
    "PReLU": "prelu",
    "BatchNormalization": "batchnorm",
    "Activation": "activation",
}
NAMES = ("tanh", "relu", "sigmoid", "softmax", "elu")


def exported(layer: Any) -> dict[str, Any]:
    """Return a layer as RTNeural's script writes it; layers it does not know become 'unknown'."""
    kind = TYPES.get(type(layer).__name__, "unknown")
    inner = layer.layer if kind == "time-distributed-dense" else layer
    name = getattr(getattr(inner, "activation", None), "__name__", "")
    entry = {
        "type": kind,
        "activation": name if name in NAMES else "",
        "shape": [None, None, layer.output.shape[-1]],
    }
    if kind == "batchnorm":
        entry["epsilon"] = layer.epsilon
    return {**entry, "weights": [np.asarray(w).tolist() for w in layer.get_weights()]}


def network(layers: list[Any], seed: int) -> Any:
    model = keras.Sequential(layers)
    randomize(model, seed)
    return model


def rtneural() -> dict[str, tuple[Any, dict[str, Any]]]:
    seq = {"return_sequences": True}
    return {
        "rtneural_lstm": (
            [L.Input((None, 1)), L.LSTM(9, **seq), L.Dense(5, "tanh"), L.Dropout(0.1), L.Dense(1)],
            {},
        ),
        "rtneural_gru": (
            [
                *(L.Input((None, 2)), L.GRU(7, **seq), L.GRU(6, **seq)),
                *(L.PReLU(shared_axes=[1]), L.BatchNormalization(epsilon=0.01)),
                *(L.Activation("elu"), L.Dense(4), L.BatchNormalization(center=False, scale=False)),
                *(L.Activation("sigmoid"), L.Dense(3, "softmax")),
            ],
            {},
        ),
        "rtneural_dense_first": (
            [
                *(L.Input((None, 3)), L.TimeDistributed(L.Dense(8, "relu")), L.LSTM(5, **seq)),
                L.TimeDistributed(L.Dense(2, "elu")),
            ],
            {},
        ),
        "rtneural_wrong_sizes": ([L.Input((None, 1)), L.LSTM(6, **seq), L.Dense(1)], {"wrong": 20}),
        "aidax_plain": ([L.Input((None, 1)), L.LSTM(8, **seq), L.Dense(1)], {"in_skip": 0}),
        "aidax_skip": (
            [L.Input((None, 1)), L.GRU(8, **seq), L.Dense(1)],
            {"in_skip": 1, "in_gain": 0.0, "out_gain": 0},
        ),
        "aidax_gains": (
            [L.Input((None, 3)), L.LSTM(8, **seq), L.Dense(1)],
            {"in_skip": 0, "in_gain": -6.0, "out_gain": 4.5},
        ),
        "aidax_skip_and_gains": (
            [L.Input((None, 2)), L.LSTM(8, **seq), L.GRU(5, **seq), L.Dense(1)],
            {"in_skip": 1, "input_gain": 3.0, "output_gain": -7.5},
        ),
    }


def placed(model: Any, x: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    """Compute a network as AIDA-X does: gain, network, residual connection, gain."""
    before, after = (
        10 ** (options.get(f"{side}_gain", options.get(f"{side}put_gain", 0)) / 20)
        for side in ("in", "out")
    )
    x = x.copy()
    x[:, 0] *= before
    y = np.asarray(model.predict_on_batch(x[None].astype(np.float32)))[0].astype(np.float64)
    return after * (y + options.get("in_skip", 0) * x[:, :1])


def guitarml() -> dict[str, dict[str, Any]]:
    return {
        "guitarml_lstm": {"unit_type": "LSTM", "hidden_size": 12},
        "guitarml_gru": {"unit_type": "GRU", "hidden_size": 7, "num_layers": 2, "skip": 0},
        "guitarml_rnn_knobs": {"unit_type": "RNN", "hidden_size": 9, "input_size": 3},
        "guitarml_two_outputs": {
            "unit_type": "LSTM",
            "hidden_size": 6,
            "input_size": 2,
            "output_size": 2,
            "skip": 2,
            "bias_fl": False,
        },
        "guitarml_wrong_sizes": {"unit_type": "LSTM", "hidden_size": 10, "wrong": True},
    }


def make_guitarml(name: str, options: dict[str, Any], arrays: dict[str, Any]) -> None:
    torch.manual_seed(len(name))
    default = {"input_size": 1, "skip": 1, "output_size": 1, "num_layers": 1, "bias_fl": True}
    data = {"model": "SimpleRNN", **default, **options}
    wrong = data.pop("wrong", False)
    F, H, O = data["input_size"], data["hidden_size"], data["output_size"]
    rec = getattr(torch.nn, data["unit_type"])(F, H, data["num_layers"])
    lin = torch.nn.Linear(H, O, bias=data["bias_fl"])
    with torch.no_grad():
        for parameter in (*rec.parameters(), *lin.parameters()):
            parameter.mul_(torch.rand(parameter.shape[0])[(...,) + (None,) * (parameter.dim() - 1)])
            parameter.mul_(4)
        x = torch.randn(STEPS, 1, F)
        y = lin(rec(x)[0])
        y = (y + x[:, :, : data["skip"]]) if data["skip"] else y
    state = {f"rec.{key}": value.tolist() for key, value in rec.state_dict().items()}
    state |= {f"lin.{key}": value.tolist() for key, value in lin.state_dict().items()}
    if wrong:
        data |= {"hidden_size": 40, "num_layers": 3, "unit_type": "GRU", "input_size": 2}
    (HERE / f"{name}.json").write_text(json.dumps({"model_data": data, "state_dict": state}))
    arrays[f"{name}.x"], arrays[f"{name}.y"] = x[:, 0].numpy(), y[:, 0].numpy()
    print(f"{name}: y {y.shape}, {float(y.min()):.3f} to {float(y.max()):.3f}")


def make_rtneural(name: str, layers: list[Any], options: dict[str, Any], seed: int) -> Any:
    model = network(layers, seed)
    entries = [exported(layer) for layer in model.layers]
    if "wrong" in options:
        entries[0]["shape"][-1] = options["wrong"]
    content: dict[str, Any] = {"in_shape": list(model.input_shape), "layers": entries}
    if name.startswith("aidax"):
        content |= options | {"metadata": {"name": name, "samplerate": 48000}}
    (HERE / f"{name}.json").write_text(json.dumps(content))
    x = np.random.default_rng(seed).standard_normal((STEPS, model.input_shape[-1]))
    x = x.astype(np.float32).astype(np.float64)
    y = placed(model, x, options)
    print(f"{name}: y {y.shape}, {y.min():.3f} to {y.max():.3f}")
    return {f"{name}.x": x, f"{name}.y": y}


def main() -> None:
    arrays: dict[str, Any] = {"versions": f"keras {keras.__version__}, torch {torch.__version__}"}
    for seed, (name, (layers, options)) in enumerate(rtneural().items()):
        arrays |= make_rtneural(name, layers, options, seed)
    for name, options in guitarml().items():
        make_guitarml(name, options, arrays)
    np.savez_compressed(HERE / "audio.npz", **arrays)


if __name__ == "__main__":
    main()
