"""TorchScript and programs of torch.export: layers by their state dict, compared with the program.

What such a program calls is not followed. Its layers are read as those of a state dict, with the
activations that its submodules are; then both compute the same numbers, small and large.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ...errors import ConvertError
from ...network.layers import RNN
from ...network.model import Model
from ..common.builder import ModelBuilder
from ..common.weights import Float64Array
from .equivalence import reference_outputs
from .forms import STEPS, STREAMS
from .layers import InitialState, TorchLayer, assemble
from .modules import read_module
from .state_dict import layers_of_state_dict
from .values import tensors_in

_SCALES = (1.0, 0.05, 20.0, 400.0)
_TOLERANCE = 1e-4  # of the largest value; a program computes in float32
_NOTHING = ("Dropout", "Identity", "Flatten")
Call = Callable[[torch.Tensor], Any]


def is_program(source: Any) -> bool:
    """Return whether a source is TorchScript or a program of torch.export."""
    return isinstance(source, torch.jit.ScriptModule) or type(source).__name__ == "ExportedProgram"


def convert_program(
    program: Any,
    activations: Mapping[str, str],
    states: Sequence[InitialState],
    rnn_activation: str,
    epsilon: float,
) -> tuple[ModelBuilder, str]:
    """Return the layers of a program, and what they were compared with.

    Raises
    ------
    ConvertError
        If its state dict does not say enough, or it computes something else than its layers.
    """
    state = program.state_dict if _is_exported(program) else program.state_dict()

    def layers(activation: str) -> list[TorchLayer]:
        return layers_of_state_dict(state, activation, epsilon)

    told = {**_activations(program, layers(rnn_activation)), **activations}
    kind = "the program of torch.export" if _is_exported(program) else "the TorchScript"
    agreed: bool | None = None
    for activation in dict.fromkeys((rnn_activation, "tanh", "relu")):
        plain = assemble(layers(activation), told, []).build("PyTorch")
        agreed = _agree(program, plain)
        if agreed or not any(isinstance(layer, RNN) for layer in plain.layers):
            break
    builder = assemble(layers(activation if agreed else rnn_activation), told, list(states))
    if agreed is False:
        named = ", ".join(layer.name for layer in layers(rnn_activation))
        raise ConvertError(
            f"{kind} computes something else than its layers one after the other "
            f"({named}): name the functions between them as "
            "activations=, or give the module that it was made from, whose forward can be followed."
        )
    if agreed is None:
        return builder, f"no: {kind} could not be called with a series of numbers"
    return builder, f"{kind}: its outputs for numbers of all sizes"


def _is_exported(program: Any) -> bool:
    return not isinstance(program, torch.jit.ScriptModule)


def _activations(program: Any, layers: Sequence[TorchLayer]) -> dict[str, str]:
    """Return the activations of gaps in the numbers that submodules of TorchScript are."""
    if _is_exported(program):
        return {}
    kinds = {name: str(child.original_name) for name, child in program.named_modules()}
    found = {}
    for layer in layers:
        kind = kinds.get(layer.gap or "", "")
        if kind.startswith(_NOTHING):
            found[layer.name] = "linear"
        elif kind in _PLAIN and (read := read_module(getattr(nn, kind)(), kind)) is not None:
            found[layer.name] = str(read.steps[0])
    return found


# Without parameters, or none that anybody changes: the comparison tells if they were changed.
_PLAIN = (
    *("ReLU", "ReLU6", "Tanh", "Sigmoid", "SiLU", "GELU", "ELU", "SELU", "LeakyReLU"),
    *("Softsign", "Softplus", "Hardsigmoid", "Hardswish", "Hardtanh", "Mish"),
)


def _agree(program: Any, model: Model) -> bool | None:
    """Return whether a program gives a model's outputs; None if it cannot be called."""
    call: Call = program.module() if _is_exported(program) else program.eval()
    called = False
    for shape, view in _views(program, model):
        found = [_same(call, view, model, shape, scale) for scale in _SCALES]
        called = called or any(same is not None for same in found)
        if all(found):
            return True
    return False if called else None


def _views(program: Any, model: Model) -> Iterator[tuple[tuple[int, int], Call]]:
    """Yield streams and steps, and the form of input from float32[S, T, F]."""
    F = model.input_size
    if model.categories and F == 1:
        yield (STREAMS, STEPS), lambda x: x[..., 0].long()
        yield (STREAMS, STEPS), lambda x: x[..., 0].long().transpose(0, 1)
        yield (1, STEPS), lambda x: x[0, :, 0].long()
    if _is_exported(program):
        (example,) = program.example_inputs[0][:1]
        if example.dim() == 3 and example.shape[2] == F:
            yield (example.shape[0], example.shape[1]), lambda x: x
            yield (example.shape[1], example.shape[0]), lambda x: x.transpose(0, 1)
        return
    yield (STREAMS, STEPS), lambda x: x
    yield (STREAMS, STEPS), lambda x: x.transpose(0, 1)
    if F == 1:
        yield (STREAMS, STEPS), lambda x: x[..., 0]
    yield (1, STEPS), lambda x: x
    yield (1, STEPS), lambda x: x.transpose(0, 1)
    yield (1, STEPS), lambda x: x[0]


def _same(
    call: Call, view: Call, model: Model, shape: tuple[int, int], scale: float
) -> bool | None:
    """Return whether any output is the model's; None if the program cannot be called."""
    rng = np.random.default_rng(1)
    X = (rng.standard_normal((*shape, model.input_size)) * scale).astype(np.float32)
    if model.categories:
        X[..., 0] = rng.integers(0, model.categories, shape)
    try:
        with torch.no_grad():
            given = call(view(torch.tensor(X)))
    except Exception:  # of any type: this form does not fit
        return None
    Y = reference_outputs(model, X.astype(np.float64))
    outputs = [output.double().numpy() for output in tensors_in(given)]
    return any(_close(output, part) for output in outputs for part in _layouts(output, Y))


def _close(output: Float64Array, part: Float64Array) -> bool:
    gap = float(np.abs(output - part).max())
    return gap <= _TOLERANCE * float(np.abs(output).max()) + 1e-6


def _layouts(output: Float64Array, Y: Float64Array) -> Iterator[Float64Array]:
    """Yield Y[S, T, O], or its last step, with the axes of an output."""
    for part in (Y, Y.transpose(1, 0, 2), Y.transpose(0, 2, 1), Y[:, -1]):
        if part.size == output.size:
            yield part.reshape(output.shape)
