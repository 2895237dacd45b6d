"""What the ``forward`` of a module does, seen by running a copy of it once on random numbers.

A module does not tell in which order it calls its layers, nor which functions it applies between
them. Hooks note each layer that is called; a mode of PyTorch notes each function outside of them.
What shapes and picks values is not followed: whether the chain that is put together from the notes
is the network, :mod:`.torch_trial` says by its numbers.
"""

import copy
import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..common.weights import Float64Array
from .modules import find_leaf
from .parts import Part, make_weights

STEPS, STREAMS = 13, 3
# What the numbers of each stream are multiplied by, step after step: bounds far out must show too.
_SCALES = ((1.0, 5.0, 30.0), (1.0,), (1.0, 3.0))
_FUNCTIONS: dict[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "celu": nn.CELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "logsigmoid": nn.LogSigmoid,
    "hardsigmoid": nn.Hardsigmoid,
    "tanh": nn.Tanh,
    "hardtanh": nn.Hardtanh,
    "softsign": nn.Softsign,
    "softplus": nn.Softplus,
    "softmax": lambda dim=None, *_, **__: nn.Softmax(dim),
    "log_softmax": lambda dim=None, *_, **__: nn.LogSoftmax(dim),
    "clamp": lambda min=-3e38, max=3e38: nn.Hardtanh(min, max),
}
_ARITHMETIC = {"add", "sub", "mul", "div", "true_divide", "neg", "rsub", "iadd", "isub", "imul"}
_CELLS = (nn.LSTMCell, nn.GRUCell, nn.RNNCell)


@dataclass
class Run:
    """One way to call a module, and what came of it.

    Attributes
    ----------
    X : float64[S, T, F]
        The observations of S streams.
    outputs : list of array
        Every tensor that it returned.
    parts : list of Part
        What it called, in order.
    several : bool
        Whether the input had axes of several streams and of time: what is answered to that is the
        last word.
    """

    X: Float64Array
    outputs: list[Float64Array]
    parts: list[Part]
    several: bool


def run_forward(module: nn.Module, F: int, categories: int) -> Iterator[Run]:
    """Yield a run for each way of calling a copy of ``module`` that raises nothing.

    Parameters
    ----------
    module : torch.nn.Module
    F : int
        Features of one observation.
    categories : int
        How many there are if the first feature is a category, else 0.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return
    module = getattr(module, "_orig_mod", module)
    dtypes = {p.dtype for p in module.parameters() if p.is_floating_point()}
    dtype = torch.float64 if dtypes == {torch.float64} else torch.float32
    X = _draw(F, categories)
    for arguments, streams in _layouts(torch.tensor(X, dtype=dtype), X, categories):
        for more in _more(module):
            try:  # a copy each time: some modules keep their state
                alone = copy.deepcopy(module).to("cpu", dtype).eval()
                recorder = _Recorder(alone, arguments)
            except Exception:  # whatever a module may hold that cannot be copied, or is refused
                return
            run = _run(alone, recorder, [*arguments, *more], streams)
            if run is not None:
                yield run
                break


def _draw(F: int, categories: int) -> Float64Array:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((STREAMS, STEPS, F)).astype(np.float32).astype(np.float64)
    for stream, scales in zip(X, _SCALES, strict=True):
        stream *= np.resize(scales, STEPS)[:, None]
    if categories:
        X[..., 0] = rng.integers(0, categories, X.shape[:2])
    return X


def _layouts(
    x: torch.Tensor, X: Float64Array, categories: int
) -> Iterator[tuple[list[torch.Tensor], Float64Array]]:
    """Yield arguments and the streams in them: batch first, time first, one stream, one step."""
    views = [(x, X), (x.transpose(0, 1), X), (x[:1], X[:1]), (x[:1].transpose(0, 1), X[:1])]
    views += [(x[0], X[:1]), (x[:, 0], X[:, :1])]
    for view, streams in views:
        if categories:
            category = view[..., 0].long()
            yield [category] if x.shape[-1] == 1 else [category, view[..., 1:]], streams
        if not categories or x.shape[-1] > 1:
            yield [view], streams
    if x.shape[-1] == 1 and not categories:  # some leave out the axis of the only feature
        yield [x[..., 0]], X


def _more(module: nn.Module) -> Iterator[list[None]]:
    """Yield what may be given beside the input: nothing, or None for a state."""
    yield []
    try:
        given = list(inspect.signature(module.forward).parameters.values())[1:]
    except (TypeError, ValueError):
        return
    needed = sum(g.default is g.empty and g.kind is g.POSITIONAL_OR_KEYWORD for g in given)
    if needed:
        yield [None] * needed


def _run(
    module: nn.Module, recorder: "_Recorder", arguments: list[Any], streams: Float64Array
) -> Run | None:
    with warnings.catch_warnings(), torch.no_grad(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        try:
            with recorder:
                given = module(*arguments)
        except Exception:  # a module's own: it cannot be called so
            return None
    outputs = [np.asarray(t.double().numpy(), np.float64) for t in _tensors(given)]
    several = len(streams) == STREAMS and streams.shape[1] == STEPS
    return Run(streams, outputs, _once(recorder.called, streams.shape[1]), several)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Yield every tensor of numbers in what a module took or gave."""
    if isinstance(value, torch.Tensor):
        if not value.is_complex():
            yield value
    elif isinstance(value, dict | tuple | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _tensors(inner)


def _once(called: list[tuple[nn.Module | None, Part]], steps: int) -> list[Part]:
    """Return the parts of one step where a cell is called for each."""
    cells = [module for module, _ in called if isinstance(module, _CELLS)]
    if cells and len(cells) == steps * len({*map(id, cells)}):
        if len(called) % steps == 0:
            called = called[: len(called) // steps]
        seen: set[int] = set()
        once = []
        for module, part in called:
            if module is None or not isinstance(module, _CELLS) or id(module) not in seen:
                once.append((module, part))
            seen.add(id(module))
        called = once
    return [part for _, part in called]


class _Recorder(TorchFunctionMode):  # type: ignore[misc]
    """Notes what a module calls: its layers by hooks, functions outside of them as a mode.

    Parameters
    ----------
    module : torch.nn.Module
    arguments : list
        The tensors among them are what the stream brings; what is computed from them is live.
    """

    def __init__(self, module: nn.Module, arguments: Sequence[Any]) -> None:
        super().__init__()
        self.called: list[tuple[nn.Module | None, Part]] = []
        self._live = {id(t): t for t in _tensors(list(arguments))}
        self._depth = 0
        self._known: dict[int, Part] = {}
        for name, child in module.named_modules():
            part = find_leaf(child, name or type(child).__name__)
            if part is not None:
                self._known[id(child)] = part
                child.register_forward_pre_hook(self._enter, with_kwargs=True)
                child.register_forward_hook(self._leave, with_kwargs=True)

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function, and note it if it stands outside of a layer."""
        kwargs = kwargs or {}
        before = args[0].clone() if args and isinstance(args[0], torch.Tensor) else None
        given = function(*args, **kwargs)
        if any(id(t) in self._live for t in _tensors([*args, *kwargs.values()])):
            self._keep(given)
            if not self._depth and isinstance(given, torch.Tensor) and before is not None:
                part = self._function(function, (before, *args[1:]), kwargs)
                if part is not None:
                    self.called.append((None, part))
        return given

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if not self._depth:
            part = replace(self._known[id(module)])
            if part.kind == "recurrent":
                part.options = dict(part.options)
                self._take_state(part, [*args[1:], *kwargs.values()])
            self.called.append((module, part))
        self._depth += 1

    def _leave(self, _: nn.Module, args: Any, kwargs: Any, given: Any) -> None:
        self._depth -= 1
        if any(id(t) in self._live for t in _tensors([*args, *kwargs.values()])):
            self._keep(given)

    def _keep(self, given: Any) -> None:
        """Remember tensors as live; holding them keeps their numbers from being used again."""
        self._live |= {id(t): t for t in _tensors(given)}

    def _take_state(self, part: Part, given: list[Any]) -> None:
        """Take the state that a recurrent layer is given, if it is a constant."""
        state = list(_tensors(given))
        if not state or any(id(t) in self._live for t in state) or not any(map(torch.any, state)):
            return
        if all(t.dim() == 3 and bool((t == t[:, :1]).all()) for t in state):
            part.options["initial_state"] = [t[:, 0].double().numpy() for t in state]
        elif all(t.dim() == 2 and bool((t == t[:1]).all()) for t in state):  # of a cell
            part.options["initial_state"] = [t[:1].double().numpy() for t in state]

    def _function(self, function: Any, args: Any, kwargs: Any) -> Part | None:
        """Return the part that a function of one live tensor is."""
        name = str(getattr(function, "__name__", "")).strip("_")
        if name in _FUNCTIONS:
            keywords = {k: v for k, v in kwargs.items() if k not in ("inplace", "dtype", "out")}
            return find_leaf(_FUNCTIONS[name](*args[1:], **keywords), name)
        if name == "exp":
            return Part(name, "function", make_weights(name, {}), steps=["exponential"])
        if name in ("linear", "layer_norm"):
            return _with_weights(name, args[1:], kwargs)
        others = [t for t in _tensors(list(args[1:])) if id(t) in self._live]
        if name.removesuffix("_") not in _ARITHMETIC or others:
            return None
        return _affine(name, lambda x: function(x, *args[1:], **kwargs), args[0])


def _with_weights(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Part:
    """Return the layer that ``F.linear`` or ``F.layer_norm`` is."""
    before = ("normalized_shape",) if name == "layer_norm" else ()
    given = dict(zip((*before, "weight", "bias", "eps"), args, strict=False)) | kwargs
    tensors = {key: given[key] for key in ("weight", "bias") if given.get(key) is not None}
    options = {}
    if name == "layer_norm":
        options = {"epsilon": given.get("eps", 1e-5), "features": given["normalized_shape"][-1]}
    return Part(name, name, make_weights(name, tensors), options)


def _affine(name: str, function: Callable[[Any], Any], x: torch.Tensor) -> Part | None:
    """Return what arithmetic with constants does to each feature, if to all steps the same."""
    zero, one = function(torch.zeros_like(x)), function(torch.ones_like(x))
    if zero.shape != x.shape or not x.dim():
        return None
    rows = [values.reshape(-1, x.shape[-1]).double() for values in (zero, one)]
    if any(not bool((values == values[:1]).all()) for values in rows):
        return None
    bias, weight = rows[0][0].numpy(), (rows[1][0] - rows[0][0]).numpy()
    return Part(name, "function", make_weights(name, {}), steps=[(weight, bias)])
