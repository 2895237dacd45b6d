"""Make onnx_keras_*.onnx and onnx_keras.npz: networks of Keras as tf2onnx writes them.

    pip install tensorflow-cpu==2.15.1 tf2onnx onnx==1.16.1
    python tests/golden/make_tf2onnx.py

For each file, onnx_keras.npz holds 200 observations (``NAME.x[T, F]``) and Keras' outputs over the
whole sequence (``NAME.y[T, O]``).
"""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf2onnx
from tensorflow import keras
from tensorflow.keras import layers as k

STEPS, F = 200, 3
FOLDER = Path(__file__).parent
CASES: dict[str, Any] = {
    "lstm": lambda: [k.LSTM(6, return_sequences=True), k.Dense(2)],
    "norms": lambda: [
        k.LSTM(6, return_sequences=True),
        k.BatchNormalization(),
        k.GRU(5, return_sequences=True),
        k.LayerNormalization(),
        k.TimeDistributed(k.Dense(4, activation="gelu")),
        k.Dense(2, activation="softmax"),
    ],
    "hard_sigmoid": lambda: [
        k.LSTM(6, recurrent_activation="hard_sigmoid", return_sequences=True),
        k.Dense(2),
    ],
    "embedding": lambda: [
        k.Embedding(9, 3),
        k.LSTM(6, return_sequences=True),
        k.Dense(2, activation="swish"),
    ],
    # Written as Loop nodes; the file is of tensorflow-cpu 2.18.1 with tf_keras, tf2onnx 1.17.0.
    "loops": lambda: [
        k.GRU(6, reset_after=False, return_sequences=True),
        k.SimpleRNN(5, return_sequences=True),
        k.Dense(2),
    ],
}


def make(name: str, opset: int) -> dict[str, Any]:
    """Write one case and return its arrays."""
    keras.backend.clear_session()
    rng = np.random.default_rng(len(name))
    tokens = name == "embedding"
    x = keras.Input((None,) if tokens else (None, F), dtype="int32" if tokens else "float32")
    y = x
    for layer in CASES[name]():
        y = layer(y)
    model = keras.Model(x, y)
    for variable in model.weights:
        low = 0.3 if "variance" in variable.name else -0.8
        variable.assign(rng.uniform(low, 0.8, variable.shape))
    signature = [tf.TensorSpec(x.shape, x.dtype, name="x")]
    proto, _ = tf2onnx.convert.from_keras(model, opset=opset, input_signature=signature)
    (FOLDER / f"onnx_keras_{name}.onnx").write_bytes(proto.SerializeToString())
    shape = (1, STEPS) if tokens else (1, STEPS, F)
    given = rng.integers(0, 9, shape) if tokens else rng.standard_normal(shape, np.float32)
    found = model.predict(given, verbose=0)[0]
    return {f"keras_{name}.x": given[0].reshape(STEPS, -1), f"keras_{name}.y": found}


if __name__ == "__main__":
    arrays: dict[str, Any] = {}
    for number, case in enumerate(CASES):
        arrays |= make(case, (11, 13, 15)[number % 3])
    np.savez_compressed(FOLDER / "onnx_keras.npz", **arrays)
    print(f"tensorflow {tf.__version__}, tf2onnx {tf2onnx.__version__}")
