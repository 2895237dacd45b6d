"""Make tflite_*.tflite, tensorflow_*.pb and tensorflow.npz: networks of Keras, converted.

    pip install tensorflow-cpu==2.18.1 tf_keras==2.18.0
    TF_USE_LEGACY_KERAS=1 python tests/golden/make_tensorflow.py

``tensorflow.npz`` holds 20 windows (``NAME.x[N, T, F]``) and what the file computes for their last
row (``NAME.y[N, O]``): TensorFlow Lite's interpreter, or for .pb Keras.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

T, F, HERE = 6, 3, Path(__file__).parent
K, L = tf.keras, tf.keras.layers
CASES: dict[str, Any] = {
    "tflite_lstm_fused": lambda: [L.LSTM(5, return_sequences=True), L.LSTM(4), L.Dense(2)],
    "tflite_gru_loop": lambda: [L.GRU(5), L.Dense(4, activation="relu"), L.Dense(1)],
    "tflite_quantised": lambda: [L.LSTM(34), L.BatchNormalization(), L.Dense(2)],
    "tensorflow_lstm": lambda: [L.LSTM(5, return_sequences=True), L.LSTM(4), L.Dense(2)],
    "tflite_both_ways": lambda: [
        L.Conv1D(4, 3, padding="causal", activation="relu"),
        L.MaxPooling1D(2),
        L.Bidirectional(L.LSTM(3)),
        L.Dense(1),
    ],
    "tensorflow_both_ways": lambda: [
        L.Conv1D(4, 3, padding="same", strides=2, activation="tanh"),
        L.Bidirectional(L.GRU(3, return_sequences=True)),
        L.AveragePooling1D(2, strides=1, padding="same"),
        L.Flatten(),
        L.Dense(2),
    ],
    "tensorflow_frames": lambda: [
        L.GRU(5, reset_after=False, recurrent_activation="hard_sigmoid", return_sequences=True),
        L.SimpleRNN(4),
        L.Dense(2, activation="softmax"),
    ],
}


def made(name: str) -> Any:
    """Return a network with random weights."""
    network = K.Sequential([L.Input((T, F)), *CASES[name]()])
    rng = np.random.default_rng(len(name))
    for variable in network.weights:
        low = 0.3 if "variance" in variable.name else -0.8
        variable.assign(rng.uniform(low, 0.8, variable.shape))
    return network


def write(name: str, network: Any, X: Any) -> Any:
    """Write a network; return what the file computes."""
    step = tf.function(lambda x: network(x, training=False))
    function = step.get_concrete_function(tf.TensorSpec((1, T, F), tf.float32))
    if name.startswith("tensorflow"):
        frozen = convert_variables_to_constants_v2(
            function, lower_control_flow=name.endswith("frames")
        )
        content = frozen.graph.as_graph_def().SerializeToString()
        (HERE / f"{name}.pb").write_bytes(content)
        return network.predict(X, verbose=0)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], network)
    if name.endswith("quantised"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([x[None]] for x in X)
    content = converter.convert()
    (HERE / f"{name}.tflite").write_bytes(content)
    return np.concatenate([interpreted(content, x[None]) for x in X])


def interpreted(content: bytes, x: Any) -> Any:
    """Return what TensorFlow Lite computes, from its first state."""
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


if __name__ == "__main__":
    arrays = {}
    for case in CASES:
        X = np.random.default_rng(1).standard_normal((20, T, F)).astype(np.float32)
        arrays |= {f"{case}.x": X, f"{case}.y": write(case, made(case), X)}
    np.savez_compressed(HERE / "tensorflow.npz", **arrays)
