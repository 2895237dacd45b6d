"""The forms of input with which a module may be called."""

import copy
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ..common.weights import Float64Array
from .starts import starts
from .values import tensors_in

STEPS, STREAMS = 13, 3
BATCH_OF_ONE = "[1, rows, features]"
Views = Callable[[torch.Tensor], list[torch.Tensor]]
Mark = Callable[[torch.Tensor, Any], None]


@dataclass(frozen=True)
class Form:
    """A form of input.

    Attributes
    ----------
    streams : int
        How many of the streams it takes: all, or the first.
    view : callable
        From float[S, T, F] to the arguments; of one step if ``stepwise``, from float[S, 1, F].
    more : int
        Further arguments: None for each.
    carry : str
        How the state gets from call to call, if there is one for each step: "" by itself,
        "rest" as what is returned after the first value, "all" as what is returned.
    stepwise : bool
        Whether it is called once for each step.
    shape : str
        Of the first argument, for messages; empty for the usual one, of many series.
    started : str
        Names of further arguments that are given a state of zeros, or the lengths of the series.
    start : callable, optional
        These, for float[S, T, F]; None for each by default.
    """

    streams: int
    view: Views
    more: int = 0
    carry: str = ""
    stepwise: bool = False
    shape: str = ""
    started: str = ""
    start: Views | None = None

    def call(
        self, module: nn.Module, x: torch.Tensor, mark: Mark | None = None
    ) -> list[torch.Tensor]:
        """Return the tensors that a module returns for float[S, T, F], stacked over calls.

        ``mark`` is told each argument and where its numbers are in the input.
        """
        places = torch.arange(x.numel()).reshape(x.shape)[: self.streams]
        x = x[: self.streams]
        if not self.stepwise:
            given = module(*self._arguments(x, places, mark), *self._first(x))
            return list(tensors_in(given))
        state = self._first(x)
        found: list[list[torch.Tensor]] = []
        for t in range(x.shape[1]):
            one = slice(t, t + 1)
            arguments = self._arguments(x[:, one], places[:, one], mark)
            given = module(*arguments, *state)
            found.append(list(tensors_in(given)))
            state = self._state(given) if self.carry else state
        return [torch.stack(parts) for parts in zip(*found, strict=True)]

    def _first(self, x: torch.Tensor) -> list[Any]:
        return [None] * self.more if self.start is None else self.start(x)

    def _arguments(
        self, x: torch.Tensor, places: torch.Tensor, mark: Mark | None
    ) -> list[torch.Tensor]:
        arguments = [part.clone() for part in self.view(x)]  # forward may change them in place
        if mark is not None:
            for argument, place in zip(arguments, self.view(places), strict=True):
                mark(argument, place.numpy())
        return arguments

    def _state(self, given: Any) -> list[Any]:
        rest = given if self.carry == "all" else given[1:] if isinstance(given, tuple) else ()
        if isinstance(rest, torch.Tensor):
            return [rest]
        parts = list(rest)
        return parts if self.carry == "rest" and len(parts) == self.more else [tuple(parts)]


def forms(module: nn.Module, F: int, categories: int, *, remembers: bool) -> Iterator[Form]:
    """Yield the forms of input that may fit a module, usual ones first.

    Those of a single stream come last.

    Parameters
    ----------
    module : torch.nn.Module
    F : int
        Features of one observation.
    categories : int
        Number of categories if the first feature is one, else 0.
    remembers : bool
        Whether it has recurrent layers.
    """
    needed, optional = _extra_arguments(module)
    channels = any(isinstance(child, nn.Conv1d) for child in module.modules())
    for streams, view, stepwise, shape in _views(F, categories, remembers, channels):
        for split, count in _splits(view, F, categories):
            more = max(0, needed + optional + 1 - count) if stepwise else 0
            for carry in ("rest", "all") if more else ():
                yield Form(streams, split, more, carry, stepwise=True, shape=shape)
            plain = Form(streams, split, max(0, needed + 1 - count), "", stepwise, shape)
            yield plain
            found = starts(module, count, stepwise) if needed + 1 > count else None
            if found is not None:
                for carry in ("rest", "all") if stepwise else ("",):
                    yield replace(plain, carry=carry, started=found[0], start=found[1])


def _views(
    F: int, categories: int, remembers: bool, channels: bool
) -> Iterator[tuple[int, Views, bool, str]]:
    """Yield streams, view, whether it is of one step, and its shape if it is not the usual one."""
    yield STREAMS, lambda x: [x], False, ""
    yield STREAMS, lambda x: [x.transpose(0, 1)], False, "[rows, series, features]"
    if channels:
        yield STREAMS, lambda x: [x.transpose(1, 2)], False, "[series, features, rows]"
    if F == 1 and not categories:
        yield STREAMS, lambda x: [x[..., 0]], False, "[series, rows]"
    if not remembers:
        yield STREAMS, lambda x: [x[:, 0]], True, "[series, features] for each row"
    yield 1, lambda x: [x], False, BATCH_OF_ONE
    yield 1, lambda x: [x.transpose(0, 1)], False, "[rows, 1, features]"
    yield 1, lambda x: [x[0]], False, "[rows, features]"
    yield STREAMS, lambda x: [x[:, 0]], True, "[series, features] for each row"
    yield STREAMS, lambda x: [x], True, "[series, 1, features] for each row"
    yield STREAMS, lambda x: [x.transpose(0, 1)], True, "[1, series, features] for each row"
    yield 1, lambda x: [x[0, 0]], True, "[features] for each row"


def _splits(view: Views, F: int, categories: int) -> list[tuple[Views, int]]:
    """Return a view, or for a category those with the category by itself; and its arguments."""

    def behind(x: torch.Tensor) -> list[torch.Tensor]:
        return apart(x)[::-1]

    def apart(x: torch.Tensor) -> list[torch.Tensor]:
        (whole,) = view(x)
        category = whole[..., 0].long()
        return [category] if x.shape[-1] == 1 else [category, whole[..., 1:]]

    if not categories:
        return [(view, 1)]
    return [(apart, 1)] if F == 1 else [(apart, 2), (behind, 2), (view, 1)]


def _extra_arguments(module: nn.Module) -> tuple[int, int]:
    """Return the numbers of required and of optional arguments after the first."""
    try:
        given = list(inspect.signature(module.forward).parameters.values())[1:]
    except (TypeError, ValueError):
        return 0, 0
    plain = [g for g in given if g.kind is g.POSITIONAL_OR_KEYWORD]
    needed = sum(g.default is g.empty for g in plain)
    return needed, sum(g.default is None for g in plain)


def needed_arguments(module: nn.Module) -> list[str]:
    """Return the names of the arguments without which ``forward`` cannot be called."""
    given = inspect.signature(module.forward).parameters
    return [
        name
        for name, one in given.items()
        if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD
    ]


def takes_one(module: nn.Module) -> bool:
    """Return whether ``forward`` needs one argument, by its name."""
    given = list(inspect.signature(module.forward).parameters.values())
    return [g.kind for g in given if g.default is g.empty] == [
        inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]


def draw(F: int, categories: int, scale: float, seed: int = 1, steps: int = STEPS) -> Float64Array:
    """Return random observations float64[S, T, F] that float32 holds exactly."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((STREAMS, steps, F)) * scale
    X = X.astype(np.float32).astype(np.float64)
    if categories:
        X[..., 0] = rng.integers(0, categories, X.shape[:2])
    return X


@contextmanager
def quiet_copy(module: nn.Module, dtype: torch.dtype, seed: int = 0) -> Iterator[nn.Module]:
    """Give a copy of a module for prediction, in another type; leave everything as it was.

    Random numbers that it draws are others for another seed.
    """
    before = torch.get_default_dtype()
    with warnings.catch_warnings(), torch.no_grad(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.set_default_dtype(dtype)
        torch.manual_seed(seed)
        try:  # some modules carry their state from call to call
            yield copy.deepcopy(module, _detached(module)).to("cpu", dtype).eval()
        finally:
            torch.set_default_dtype(before)


def _detached(module: nn.Module) -> dict[int, Any]:
    """Return copies of tensors that training has left in a module, which deepcopy refuses."""
    left = [t for part in module.modules() for t in tensors_in(vars(part)) if t.grad_fn is not None]
    return {id(tensor): tensor.detach().clone() for tensor in left}
