"""The supported formats, in one table."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

MODEL_OPTIONS = (
    "inputs",
    "outputs",
    "input_scaling",
    "output_scaling",
    "skip",
    "skip_scale",
    "horizon",
    "metadata",
    "window",
    "start",
)


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes
    ----------
    title : str
        The software that writes it.
    description : str
        A file of this format, as part of a sentence.
    reader : str
        Function that reads a file, as ``module:name`` in this package, imported on first use;
        empty for the model files of :class:`streamlstm.Model`.
    evaluators : str
        Function that yields the evaluators of a file, likewise.
    options : tuple of str
        Keywords of the reader.
    """

    title: str
    description: str
    reader: str = ""
    evaluators: str = ""
    options: tuple[str, ...] = MODEL_OPTIONS


FORMATS = {
    "keras": Format(
        "Keras", "a network of Keras", "keras.importer:from_keras", "keras.evaluate:evaluators"
    ),
    "torch": Format(
        "PyTorch",
        "a state dict of PyTorch",
        "torch.importer:from_torch",
        "torch.evaluate:evaluators",
        (
            *("activations", "initial_state", "rnn_activation", "epsilon", "bidirectional"),
            *("module", "output", *MODEL_OPTIONS),
        ),
    ),
    "onnx": Format(
        "ONNX",
        "an ONNX graph",
        "onnx.importer:from_onnx",
        "onnx.evaluate:evaluators",
        ("output", *MODEL_OPTIONS),
    ),
    "tflite": Format(
        "TensorFlow Lite",
        "a TensorFlow Lite file",
        "tensorflow.importer:from_tflite",
        "tensorflow.importer:tflite_evaluators",
        ("output", *MODEL_OPTIONS),
    ),
    "tensorflow": Format(
        "TensorFlow",
        "a frozen graph of TensorFlow",
        "tensorflow.importer:from_tensorflow",
        "tensorflow.importer:tensorflow_evaluators",
        ("output", *MODEL_OPTIONS),
    ),
    "rtneural": Format(
        "RTNeural or AIDA-X",
        "JSON of RTNeural or AIDA-X",
        "json.rtneural:from_rtneural",
        "json.evaluate:rtneural_evaluators",
    ),
    "guitarml": Format(
        "GuitarML",
        "JSON of GuitarML",
        "json.guitarml:from_guitarml",
        "json.evaluate:guitarml_evaluators",
    ),
    "nam": Format(
        "Neural Amp Modeler",
        "a .nam file of Neural Amp Modeler",
        "json.nam:from_nam",
        "json.evaluate:nam_evaluators",
    ),
    "streamlstm": Format("streamlstm", "a model file of streamlstm", options=()),
}


def load_function(reference: str) -> Callable[..., Any]:
    """Import a function of this package by ``module:name``."""
    module, _, name = reference.partition(":")
    function: Callable[..., Any] = getattr(import_module(f".{module}", __package__), name)
    return function
