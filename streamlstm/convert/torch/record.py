"""Recording of ``forward``: every function and layer that it calls, followed on labels.

A copy of the module runs once. A ``TorchFunctionMode`` sees each function that is called on
tensors, and the layers with weights are wrapped. Nothing is concluded from numbers:
:mod:`.signals` says what each tensor is, and what is not known is refused by its name if the
output depends on it.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ...errors import ConvertError
from ..common.error_context import AdvisedError
from ..common.frameworks import first_line
from ..labels.signals import Labels, Signals
from . import functions
from .layer_calls import LAYERS, Call
from .reasons import reason
from .tensor_functions import interpret
from .values import Value, Values, tensors_in


class Recorder(TorchFunctionMode):  # type: ignore[misc] # torch is not read
    """Follows what a module computes.

    Parameters
    ----------
    module : torch.nn.Module
        A copy, which is changed.
    signals : Signals

    Attributes
    ----------
    values : Values
        What each tensor holds.
    outputs : list of str
        Key or number of each tensor that the last call returned.
    reads : str
        What made ``forward`` depend on numbers of its input other than by tensors; empty if
        nothing did.
    """

    def __init__(self, module: nn.Module, signals: Signals) -> None:
        super().__init__()
        self.values = Values(signals, type(module).__name__)
        self.reads = ""
        self.outputs: list[str] = []
        self._inside = 0
        for name, child in module.named_modules():
            kind = _leaf_kind(child)
            if kind is not None:
                child.forward = self._leaf(child, name or type(child).__name__, kind)
            elif name:
                shown = f"{name} ({type(child).__name__})"
                child.register_forward_pre_hook(lambda _m, _x, n=shown: self.values.path.append(n))
                child.register_forward_hook(lambda *_: _none(self.values.path.pop()))

    def mark(self, tensor: torch.Tensor, labels: Labels) -> None:
        """Say what an argument of the module holds."""
        self.values.set([tensor], [Value(np.ascontiguousarray(labels))])

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function, and follow it if it is outside of a layer and takes live tensors."""
        kwargs = kwargs or {}
        given = function(*args, **kwargs)
        name = str(getattr(function, "__name__", function)).strip("_")
        followed = name in functions.RANDOM or self.values.is_live([args, kwargs])
        if self._inside or not followed:
            return given
        self._inside += 1
        try:
            self._follow(name, function, args, kwargs, given)
        finally:
            self._inside -= 1
        return given

    def _follow(self, name: str, function: Any, args: Any, kwargs: Any, given: Any) -> None:
        made = list(tensors_in(given))
        if name == "setitem":
            self._assign(*args)
        elif not made:
            self._read(name, args)
        elif name not in functions.MAKERS:
            known = self._interpret(name, function, args, kwargs, given, len(made))
            keeps = name in functions.MOVES or name in functions.CASTS
            if not keeps and any(t is made[0] for t in tensors_in(args)):
                self.values.spoil_views(made[0], name)
            self.values.set(made, known)

    def _interpret(
        self, name: str, function: Any, args: Any, kwargs: Any, given: Any, count: int
    ) -> list[Value]:
        """Return what each tensor holds that a function gave."""
        before = self.values.problem([args, kwargs])
        if name in functions.RANDOM:
            before = AdvisedError(
                f"{self.values.where} draws random numbers ({_qualified(function, name)}) even "
                "where it predicts: if they belong to training, draw them if self.training only"
            )
        unknown = before or ConvertError(
            f"{self.values.where} calls {_qualified(function, name)}: {reason(name)}"
        )
        if name in functions.TESTS:
            tested = self.values.get(args[0])
            test = name.startswith("is") or (tested is not None and tested.test)
            return [Value(problem=unknown, test=test)] * count
        if before is not None:
            return [Value(problem=before)] * count
        try:
            known = interpret(self.values, name, function, args, kwargs, given)
        except ConvertError as error:
            return [Value(problem=error)] * count
        except Exception as error:  # of any type: PyTorch took these arguments
            shown = f"{self.values.where} calls {_qualified(function, name)}"
            return [Value(problem=_not_followed(shown, error))] * count
        return [Value(problem=unknown)] * count if known is None else known

    def _read(self, name: str, args: Any) -> None:
        live = [value for t in tensors_in(args) if (value := self.values.get(t)) is not None]
        if name in functions.READERS and not all(value.test for value in live):
            self.reads = self.reads or (
                f"{self.values.where} reads numbers of its input ({name}), and what it does may "
                "depend on them: if it only checks them, do that outside of forward"
            )

    def _assign(self, target: Any, index: Any, value: Any) -> None:
        """Follow ``target[index] = value``."""
        self.values.spoil_views(target, "an assignment")
        try:
            if self.values.is_live(index):
                raise ConvertError(f"{self.values.where} assigns to places that the input decides")
            labels = torch.from_numpy(self.values.labels(target).copy())
            source = value if isinstance(value, torch.Tensor) else torch.tensor(value)
            labels[index] = torch.from_numpy(self.values.labels(source).copy())
            known = Value(labels.numpy())
        except ConvertError as error:
            known = Value(problem=error)
        self.values.set([target], [known])

    def _leaf(self, module: nn.Module, name: str, kind: str) -> Callable[..., Any]:
        """Return the forward of a layer with weights, which says what the layer is given."""
        original, seen = module.forward, inspect.signature(module.forward)

        def forward(*args: Any, **kwargs: Any) -> Any:
            self._inside += 1
            try:
                given = original(*args, **kwargs)
                if self._inside == 1 and self.values.is_live([args, kwargs]):
                    bound = seen.bind(*args, **kwargs)
                    bound.apply_defaults()
                    self._follow_leaf(Call(module, name, bound.args, given), kind)
            finally:
                self._inside -= 1
            return given

        return forward

    def _follow_leaf(self, call: Call, kind: str) -> None:
        made = list(tensors_in(call.given))
        problem = self.values.problem(list(call.args))
        known: list[Value] = []
        try:
            known = [] if problem else [Value(part) for part in LAYERS[kind](self.values, call)]
            rest = ConvertError(f"forward uses the shares of {call.name}")
            known += [Value(problem=rest)] * (0 if problem else len(made) - len(known))
        except ConvertError as error:
            problem = error
        except Exception as error:  # of any type: PyTorch took these arguments
            problem = _not_followed(call.name, error)
        self.values.set(made, [Value(problem=problem)] * len(made) if problem else known)


def _leaf_kind(module: nn.Module) -> str | None:
    """Return the kind of a layer with weights, unless its class has a forward of its own."""
    for class_, kind in (
        *((getattr(nn, name), "recurrent") for name in ("LSTM", "GRU", "RNN")),
        *((getattr(nn, f"{name}Cell"), "cell") for name in ("LSTM", "GRU", "RNN")),
        (nn.Linear, "linear"),
        (nn.BatchNorm1d, "batch_norm"),
        (nn.LayerNorm, "layer_norm"),
        (nn.Embedding, "embedding"),
        (nn.MultiheadAttention, "attention"),
    ):
        if isinstance(module, class_):
            return kind if type(module).forward is class_.forward else None
    return None


def _qualified(function: Any, name: str) -> str:
    """Return the name of a function as a person writes it."""
    qualified = str(getattr(function, "__qualname__", name))
    for inner, outer in (("_VariableFunctionsClass", "torch"), ("TensorBase", "Tensor")):
        qualified = qualified.replace(inner, outer)
    return qualified


def _not_followed(shown: str, error: Exception) -> ConvertError:
    return ConvertError(f"{shown} in a form that is not followed here ({first_line(error)})")


def _none(_: object) -> None:
    """Return nothing, so that a hook changes no output."""
