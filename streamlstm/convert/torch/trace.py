"""Tracing of ``forward``: the layers and functions that a module calls, in order.

A module does not say in which order it calls its layers, nor which functions it applies between
them. So a copy of it runs on random numbers: hooks record each layer that is called, and a
TorchFunctionMode records each function outside of the layers. Reshaping and indexing are not
recorded: :mod:`.equivalence` compares the traced layers with the module by their numbers.
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
from .layers import TorchLayer, make_weights
from .modules import read_module

STEPS, STREAMS = 13, 3
# Factors of each stream's numbers, step after step: large ones reach clamps far from zero.
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
class Trace:
    """One call of a module.

    Attributes
    ----------
    X : float64[S, T, F]
        The observations of S streams.
    outputs : list of array
        Every tensor that it returned.
    layers : list of TorchLayer
        The layers and functions that it called, in order.
    batched : bool
        Whether the input had an axis of several streams and one of time: such a call decides.
    """

    X: Float64Array
    outputs: list[Float64Array]
    layers: list[TorchLayer]
    batched: bool


def trace_forward(module: nn.Module, F: int, categories: int) -> Iterator[Trace]:
    """Yield a trace for each form of input with which a copy of ``module`` can be called.

    Parameters
    ----------
    module : torch.nn.Module
    F : int
        Features of one observation.
    categories : int
        Number of categories if the first feature is one, else 0.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return
    module = getattr(module, "_orig_mod", module)
    dtypes = {p.dtype for p in module.parameters() if p.is_floating_point()}
    dtype = torch.float64 if dtypes == {torch.float64} else torch.float32
    X = _draw_inputs(F, categories)
    for arguments, streams in _layouts(torch.tensor(X, dtype=dtype), X, categories):
        for more in _extra_arguments(module):
            try:  # a copy each time: some modules carry their state from call to call
                duplicate = copy.deepcopy(module).to("cpu", dtype).eval()
                tracer = _Tracer(duplicate, arguments)
            except Exception:  # the module cannot be copied, or has a layer that is refused
                return
            trace = _trace(duplicate, tracer, [*arguments, *more], streams)
            if trace is not None:
                yield trace
                break


def _draw_inputs(F: int, categories: int) -> Float64Array:
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
    """Yield arguments and their streams: batch first, time first, one stream, one step."""
    views = [(x, X), (x.transpose(0, 1), X), (x[:1], X[:1]), (x[:1].transpose(0, 1), X[:1])]
    views += [(x[0], X[:1]), (x[:, 0], X[:, :1])]
    for view, streams in views:
        if categories:
            category = view[..., 0].long()
            yield [category] if x.shape[-1] == 1 else [category, view[..., 1:]], streams
        if not categories or x.shape[-1] > 1:
            yield [view], streams
    if x.shape[-1] == 1 and not categories:  # modules that take a single feature without its axis
        yield [x[..., 0]], X


def _extra_arguments(module: nn.Module) -> Iterator[list[None]]:
    """Yield further arguments: none, or None for each one that is required, such as a state."""
    yield []
    try:
        given = list(inspect.signature(module.forward).parameters.values())[1:]
    except (TypeError, ValueError):
        return
    needed = sum(g.default is g.empty and g.kind is g.POSITIONAL_OR_KEYWORD for g in given)
    if needed:
        yield [None] * needed


def _trace(
    module: nn.Module, tracer: "_Tracer", arguments: list[Any], streams: Float64Array
) -> Trace | None:
    with warnings.catch_warnings(), torch.no_grad(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        try:
            with tracer:
                given = module(*arguments)
        except Exception:  # any of the module's own: this form of input does not fit
            return None
    outputs = [np.asarray(t.double().numpy(), np.float64) for t in _tensors(given)]
    batched = len(streams) == STREAMS and streams.shape[1] == STEPS
    return Trace(streams, outputs, _single_step(tracer.called, streams.shape[1]), batched)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Yield every real tensor in arguments or return values."""
    if isinstance(value, torch.Tensor):
        if not value.is_complex():
            yield value
    elif isinstance(value, dict | tuple | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _tensors(inner)


def _single_step(called: list[tuple[nn.Module | None, TorchLayer]], steps: int) -> list[TorchLayer]:
    """Return the layers of one step if cells are called once for each step."""
    cells = [module for module, _ in called if isinstance(module, _CELLS)]
    if cells and len(cells) == steps * len({*map(id, cells)}):
        if len(called) % steps == 0:
            called = called[: len(called) // steps]
        seen: set[int] = set()
        once = []
        for module, layer in called:
            if module is None or not isinstance(module, _CELLS) or id(module) not in seen:
                once.append((module, layer))
            seen.add(id(module))
        called = once
    return [layer for _, layer in called]


class _Tracer(TorchFunctionMode):  # type: ignore[misc]
    """Records the layers that a module calls, by hooks, and the functions outside of them.

    Parameters
    ----------
    module : torch.nn.Module
    arguments : list
        Its tensors, and all that is computed from them, are live: they depend on the input.
    """

    def __init__(self, module: nn.Module, arguments: Sequence[Any]) -> None:
        super().__init__()
        self.called: list[tuple[nn.Module | None, TorchLayer]] = []
        self._live = {id(t): t for t in _tensors(list(arguments))}
        self._depth = 0
        self._known: dict[int, TorchLayer] = {}
        for name, child in module.named_modules():
            layer = read_module(child, name or type(child).__name__)
            if layer is not None:
                self._known[id(child)] = layer
                child.register_forward_pre_hook(self._enter, with_kwargs=True)
                child.register_forward_hook(self._leave, with_kwargs=True)

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function, and record it if it is outside of a layer."""
        kwargs = kwargs or {}
        before = args[0].clone() if args and isinstance(args[0], torch.Tensor) else None
        given = function(*args, **kwargs)
        if any(id(t) in self._live for t in _tensors([*args, *kwargs.values()])):
            self._mark_live(given)
            if not self._depth and isinstance(given, torch.Tensor) and before is not None:
                layer = self._function(function, (before, *args[1:]), kwargs)
                if layer is not None:
                    self.called.append((None, layer))
        return given

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if not self._depth:
            layer = replace(self._known[id(module)])
            if layer.kind == "recurrent":
                layer.options = dict(layer.options)
                self._record_state(layer, [*args[1:], *kwargs.values()])
            self.called.append((module, layer))
        self._depth += 1

    def _leave(self, _: nn.Module, args: Any, kwargs: Any, given: Any) -> None:
        self._depth -= 1
        if any(id(t) in self._live for t in _tensors([*args, *kwargs.values()])):
            self._mark_live(given)

    def _mark_live(self, given: Any) -> None:
        """Mark tensors as live; the references keep their ids from being used again."""
        self._live |= {id(t): t for t in _tensors(given)}

    def _record_state(self, layer: TorchLayer, given: list[Any]) -> None:
        """Record the initial state that a recurrent layer is called with, if it is a constant."""
        state = list(_tensors(given))
        if not state or any(id(t) in self._live for t in state) or not any(map(torch.any, state)):
            return
        if all(t.dim() == 3 and bool((t == t[:, :1]).all()) for t in state):
            layer.options["initial_state"] = [t[:, 0].double().numpy() for t in state]
        elif all(t.dim() == 2 and bool((t == t[:1]).all()) for t in state):  # of a cell
            layer.options["initial_state"] = [t[:1].double().numpy() for t in state]

    def _function(self, function: Any, args: Any, kwargs: Any) -> TorchLayer | None:
        """Return the layer that a function of one live tensor is, if it is one."""
        name = str(getattr(function, "__name__", "")).strip("_")
        if name in _FUNCTIONS:
            keywords = {k: v for k, v in kwargs.items() if k not in ("inplace", "dtype", "out")}
            return read_module(_FUNCTIONS[name](*args[1:], **keywords), name)
        if name == "exp":
            return TorchLayer(name, "function", make_weights(name, {}), steps=["exponential"])
        if name in ("linear", "layer_norm"):
            return _with_weights(name, args[1:], kwargs)
        others = [t for t in _tensors(list(args[1:])) if id(t) in self._live]
        if name.removesuffix("_") not in _ARITHMETIC or others:
            return None
        return _affine(name, lambda x: function(x, *args[1:], **kwargs), args[0])


def _with_weights(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> TorchLayer:
    """Return the layer that ``F.linear`` or ``F.layer_norm`` is."""
    before = ("normalized_shape",) if name == "layer_norm" else ()
    given = dict(zip((*before, "weight", "bias", "eps"), args, strict=False)) | kwargs
    tensors = {key: given[key] for key in ("weight", "bias") if given.get(key) is not None}
    options = {}
    if name == "layer_norm":
        options = {"epsilon": given.get("eps", 1e-5), "features": given["normalized_shape"][-1]}
    return TorchLayer(name, name, make_weights(name, tensors), options)


def _affine(name: str, function: Callable[[Any], Any], x: torch.Tensor) -> TorchLayer | None:
    """Return arithmetic with constants as a layer, if it does the same at every step."""
    zero, one = function(torch.zeros_like(x)), function(torch.ones_like(x))
    if zero.shape != x.shape or not x.dim():
        return None
    rows = [values.reshape(-1, x.shape[-1]).double() for values in (zero, one)]
    if any(not bool((values == values[:1]).all()) for values in rows):
        return None
    bias, weight = rows[0][0].numpy(), (rows[1][0] - rows[0][0]).numpy()
    return TorchLayer(name, "function", make_weights(name, {}), steps=[(weight, bias)])
