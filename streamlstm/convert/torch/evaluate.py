"""Evaluation of state dicts by PyTorch, layer by layer."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...kernels.reference import activate
from ...network.activations import parse_activation
from ..common.evaluator import Evaluator
from ..common.frameworks import require
from ..common.weights import Float64Array
from .file import find_state_dict, is_torch_script, read_torch
from .order import restore_order
from .state_dict import INITIAL_C, is_initial_state, resolve_parametrizations
from .user_module import load_weights

_CAVEAT = "its layers one by one only: a state dict does not say what forward does between them"


def evaluators(path: str, **options: Any) -> Iterator[Evaluator]:
    """Yield the way to compute a state dict; ``options`` as for :func:`evaluate`.

    With ``module=``, its weights are loaded into that module, and its ``forward`` runs.
    """
    module, window = options.pop("module", None), options.pop("window", None)
    output = options.pop("output", None)
    options.pop("initial_state", None)
    if module is not None:
        loaded = load_weights(module, read_torch(Path(path)))
        name = f"PyTorch, the forward of {type(module).__name__}"
        yield Evaluator(name, lambda X, _: evaluate_module(loaded, X, window, output=output))
        return
    if Path(path).is_file() and is_torch_script(Path(path)):
        script = read_torch(Path(path))
        yield Evaluator("TorchScript", lambda X, _: evaluate_program(script, X, window, output))
        return
    yield Evaluator("PyTorch", lambda X, _: evaluate(path, X, **options), _CAVEAT)


def evaluate(
    path: str,
    X: Float64Array,
    activations: Mapping[str, str] | None = None,
    rnn_activation: str = "tanh",
    epsilon: float = 1e-5,
    bidirectional: str | None = None,
) -> Float64Array:
    """Compute a state dict for ``X[T, F]``: its layers in order, by the modules of PyTorch.

    A state dict does not say what ``forward`` does between the layers; the options do, as those of
    :func:`streamlstm.from_torch`.

    Raises
    ------
    ConvertError
        If a layer cannot be recognised by its arrays.
    """
    torch = require("torch", "compute a state dict")
    state = restore_order(resolve_parametrizations(find_state_dict(read_torch(Path(path)))))
    values = torch.tensor(X)
    with torch.no_grad():
        groups = _group(torch, state)
        initial = {
            name: groups.pop(name) for name in list(groups) if is_initial_state(groups[name])
        }
        recurrent = [name for name, arrays in groups.items() if "weight_hh_l0" in arrays]
        none: dict[str, Any] = {}
        first, second, *_ = [*groups.values(), none, none]
        for name, arrays in groups.items():
            if arrays is first and _is_embedding(name, arrays, second, values):
                vectors = arrays["weight"][values[:, 0].long()]
                values = torch.cat([vectors, values[:, 1:]], 1)
            elif "weight_hh_l0" in arrays or "weight_hh" in arrays:
                ends = bidirectional == "ends" and name == recurrent[-1]
                start = _state(name, initial)
                values = _recurrent(torch, arrays, values, rnn_activation, start, ends)
            else:
                values = _apply(torch, name, arrays, values, epsilon)
            if activations and name in activations:
                parsed = parse_activation(activations[name], together=True)
                values = torch.tensor(activate(parsed, values.numpy()))
    return np.asarray(values.numpy(), np.float64)


def evaluate_module(
    module: Any,
    X: Float64Array,
    window: int | None = None,
    other: Any = None,
    output: int | str | None = None,
) -> Float64Array:
    """Compute a module for ``X[T, F]`` by its own ``forward``: all its steps, or the last.

    ``window`` is the number of rows of a window, which then are all of X; ``other`` is called in
    place of the module, in float32, and gives the same tensors. ``output`` is as for
    :func:`streamlstm.from_torch`.

    Raises
    ------
    ConvertError
        If it cannot be called with a series.
    """
    from ..labels.chain import read_output
    from .equivalence import find, record
    from .forms import STREAMS
    from .widths import Wanted

    found = find(module, Wanted(window, X.shape[1], output))
    if found is None:
        raise ConvertError(f"{type(module).__name__} cannot be called with a series of numbers.")
    windowed = found.window is not None
    recorder, outputs = record(module, found.form, np.stack([X] * STREAMS), found.dtype, windowed)
    values = outputs[found.output]
    chain = read_output(recorder.values.signals, recorder.values.labels(values))
    if other is not None:
        values = _called(other, found, X)
    if windowed:
        own = chain.positions == 0
        return np.asarray(values.double().numpy()[own], np.float64).reshape(1, -1)
    own = chain.positions < len(X)  # of the first stream
    Y = np.full((len(X), int(chain.values.max()) + 1), np.nan)
    Y[chain.positions[own], chain.values[own]] = values.double().numpy()[own]
    return Y if not np.isnan(Y[0]).all() or len(X) == 1 else Y[-1:]


def evaluate_program(
    program: Any, X: Float64Array, window: int | None, output: int | str | None = None
) -> Float64Array:
    """Compute a program for ``X[T, F]``: all its steps, or the last; window as for a module.

    One of torch.export takes one shape only: its operations are run one by one.
    """
    from .program_module import ProgramModule

    scripted = type(program).__module__.startswith("torch.jit")
    return evaluate_module(ProgramModule(program), X, window, program if scripted else None, output)


def _called(other: Any, found: Any, X: Float64Array) -> Any:
    """Return the output of a program that is called as a module was found to be."""
    torch = require("torch", "compute a program")
    from .forms import STREAMS

    with torch.no_grad():
        x = torch.tensor(np.stack([X] * STREAMS), dtype=torch.float32)
        return found.form.call(other, x)[found.output]


def _group(torch: Any, state: Mapping[Any, Any]) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for key, tensor in state.items():
        name, _, last = key.rpartition(".")
        if last != "num_batches_tracked":
            groups.setdefault(name, {})[last] = torch.as_tensor(tensor).double()
    return groups


def _state(name: str, initial: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    """Return the trained initial state of a recurrent layer: h, or h and c, or nothing."""
    for container, tensors in initial.items():
        if not container or name.startswith(f"{container}."):
            return [tensors[key] for key in sorted(tensors, key=lambda key: key in INITIAL_C)]
    return []


def _is_embedding(
    name: str, arrays: Mapping[str, Any], following: Mapping[str, Any], x: Any
) -> bool:
    """Tell whether the first layer's matrix has a vector for each category, in x[T, F] the first.

    What follows takes the vector and the other features.
    """
    if {*arrays} != {"weight"} or arrays["weight"].dim() != 2:
        return False
    widths = [
        a.shape[1] for key, a in following.items() if key.startswith("weight") and a.dim() > 1
    ]
    rows, columns = arrays["weight"].shape
    if not widths or x.shape[1] != 1 + widths[0] - columns:
        return False
    may_be_linear = x.shape[1] == columns and widths[0] == rows
    return not may_be_linear or "emb" in name.lower().rsplit(".", 1)[-1]


def _apply(torch: Any, name: str, arrays: dict[str, Any], x: Any, epsilon: float) -> Any:
    if "running_mean" in arrays:
        affine = (arrays.get("weight"), arrays.get("bias"))
        return torch.nn.functional.batch_norm(
            x, arrays["running_mean"], arrays["running_var"], *affine, eps=epsilon
        )
    weight, bias = arrays.get("weight"), arrays.get("bias")
    if weight is not None and weight.dim() == 2 and {*arrays} <= {"weight", "bias"}:
        return torch.nn.functional.linear(x, weight, bias)
    if weight is not None and weight.dim() == 1 and {*arrays} == {"weight", "bias"}:
        return torch.nn.functional.layer_norm(x, weight.shape, weight, bias, eps=epsilon)
    raise ConvertError(f"{name}: only its module knows what it does ({', '.join(arrays)})")


def _recurrent(
    torch: Any,
    arrays: dict[str, Any],
    x: Any,
    rnn_activation: str,
    initial: list[Any],
    ends: bool,
) -> Any:
    """Return outputs for x[T, F], or the last states of both directions."""
    if "weight_hh" in arrays:  # a cell
        arrays = {f"{key}_l0": array for key, array in arrays.items()}
    rows, columns = arrays["weight_hh_l0"].shape
    projected = "weight_hr_l0" in arrays
    H = rows // 4 if projected else columns
    module = {4: torch.nn.LSTM, 3: torch.nn.GRU, 1: torch.nn.RNN}[rows // H]
    both = "weight_hh_l0_reverse" in arrays
    layers = sum(key.startswith("weight_hh_l") for key in arrays) // (1 + both)
    options: dict[str, Any] = {"proj_size": columns} if projected else {}
    if module is torch.nn.RNN:
        options["nonlinearity"] = rnn_activation
    biased = "bias_ih_l0" in arrays
    cell = module(x.shape[1], H, layers, bias=biased, bidirectional=both, **options).double()
    cell.load_state_dict(arrays)
    states = [state.reshape(layers, -1) for state in initial]
    outputs, last = cell(x, *([tuple(states)] if len(states) > 1 else states))
    if not (both and ends):
        return outputs
    h = last[0] if isinstance(last, tuple) else last
    return torch.cat([h[-2], h[-1]])[None]
