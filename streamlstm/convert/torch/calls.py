"""What a call of a module leaves open: other layouts, other widths, what an earlier call left."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from ...errors import ConvertError
from ..common.weights import Float64Array
from ..labels.signals import Signals
from .forms import BATCH_OF_ONE, Form, quiet_copy
from .values import Values, tensors_in


class CallError(ConvertError):
    """A module does not say how it is called, or holds what an earlier call left."""


def names_in(value: Any, start: int = 0) -> list[str]:
    """Return for every tensor in a return value its key, or its number among all."""
    names: list[str] = []
    if isinstance(value, torch.Tensor):
        return [str(start)]
    if isinstance(value, dict | tuple | list):
        pairs = value.items() if isinstance(value, dict) else ((None, inner) for inner in value)
        for key, inner in pairs:
            plain = key is not None and isinstance(inner, torch.Tensor)
            names += [str(key)] if plain else names_in(inner, start + len(names))
    return names


def choose_output(output: int | str | None, names: list[str]) -> list[int]:
    """Return the numbers of the outputs that may be converted, the first one that can be.

    Raises
    ------
    ConvertError
        If there is none called so.
    """
    if output is None:
        return list(range(len(names)))
    if str(output) in names:
        return [names.index(str(output))]
    if str(output).isdigit() and int(output) < len(names):
        return [int(output)]
    raise ConvertError(f"output: forward returns no {output!r}, only {', '.join(names)}.")


def other_outputs(
    values: Values, outputs: list[torch.Tensor], names: list[str], chosen: int, form: Form
) -> list[str]:
    """Return the names of the outputs that depend on the input too and are no states."""
    return [
        name
        for n, (output, name) in enumerate(zip(outputs, names, strict=True))
        if n != chosen and values.is_live(output) and not _is_state(values, output, form)
    ]


def _is_state(values: Values, output: torch.Tensor, form: Form) -> bool:
    """Return whether an output is the state of a recurrent layer."""
    value, signals = values.get(output), values.signals
    if value is None or value.labels is None:
        return value is not None and "cell state" in str(value.problem)
    numbers = np.unique(signals.locate(value.labels).signal)
    if (numbers < 0).any():
        return False
    made = [signals[int(n)] for n in numbers]
    if any(not s.hidden and (s.layer is None or s.layer.kind != "recurrent") for s in made):
        return False
    return bool(form.carry) or any(s.hidden for s in made) or not _whole(signals, value.labels)


def _whole(signals: Signals, labels: Any) -> bool:
    found = signals.locate(labels)
    return len(np.unique(found.position)) > signals.streams


def check_layout(module: Any, form: Form, usual: Form | None, X: Float64Array, n: int) -> None:
    """Refuse an unusual layout of one series where the usual one gives other numbers.

    Parameters
    ----------
    module : torch.nn.Module
    form : Form
        In which layers were found.
    usual : Form, optional
        That of a batch of one, if the module can be called with it.
    X : float64[S, T, F]
    n : int
        Number of the output.
    """
    if usual is None or form.streams > 1 or form.stepwise or form.shape == BATCH_OF_ONE:
        return
    x = torch.tensor(X, dtype=torch.float32)
    found = []
    for one in (form, usual):
        with quiet_copy(module, torch.float32) as copied:
            found.append(one.call(copied, x)[n].reshape(-1))
    if found[0].shape == found[1].shape and torch.allclose(*found, atol=1e-5):
        return
    T, F = X.shape[1:]
    raise CallError(
        f"{type(module).__name__} mixes series that are called together, and its layers are only "
        f"found when one series comes as {form.shape}; as [1, {T}, {F}], the usual way, it gives "
        "other numbers, because a layer then takes the rows for series, as nn.LSTM does without "
        "batch_first=True. If it was trained with the usual way, its recurrent layer never saw "
        f"the rows before. If it is meant for {form.shape}, give a module whose forward makes that "
        f"of the usual one and calls this, by {_WAYS[form.shape]}."
    )


_WAYS = {"[rows, 1, features]": "x.transpose(0, 1)", "[rows, features]": "x[0]"}


def check_width(module: Any, form: Form, X: Float64Array, n: int) -> None:
    """Refuse a number of features that nothing in the module says.

    Raises
    ------
    ConvertError
        If it can be called with one more, and the last is not used, or it returns more then.
    """
    if form.shape == "[series, rows]":
        return
    wider = np.concatenate([X, X[..., :1]], axis=2)
    other = np.concatenate([X[..., :-1], X[..., -1:] + 1.5], axis=2)
    found = []
    for numbers in (X, other, wider):
        with quiet_copy(module, torch.float32) as copied:
            try:
                found.append(form.call(copied, torch.tensor(numbers, dtype=torch.float32))[n])
            except Exception:  # of any type: it is the user's own code
                return
    used = not torch.equal(found[0], found[1])
    if used and found[0].shape == found[2].shape:
        return
    raise CallError(
        f"{type(module).__name__} can be called with {X.shape[2]} or more features, and nothing in "
        "it says how many a row has: give their names, inputs=[...]."
    )


def check_leftovers(module: Any, form: Form, X: Float64Array) -> None:
    """Refuse a state that an earlier call has left in a module.

    Raises
    ------
    ConvertError
        If the next call gives other numbers, and begins with some that are not zero.
    """
    x = torch.tensor(X, dtype=torch.float32)
    with quiet_copy(module, torch.float32) as copied:
        before = dict(_attributes(copied))
        first = [part.clone() for part in form.call(copied, x)]
        after = dict(_attributes(copied))
        if all(map(torch.equal, first, form.call(copied, x))):
            return
    left = [
        name
        for name, parts in before.items()
        if any(bool(part.any()) for part in parts) and not _same(parts, after.get(name, []))
    ]
    if left:
        raise CallError(
            f"{type(module).__name__}: {', '.join(left)} holds what an earlier call left, or what "
            "was drawn at random, for forward replaces it: that is no trained state. Set it to "
            "what a series starts from, mostly zeros, and convert then."
        )


def _attributes(module: nn.Module) -> Iterator[tuple[str, list[torch.Tensor]]]:
    """Yield the tensors in each attribute of a module that is no parameter."""
    for name, part in module.named_modules():
        kept = {k: v for k, v in vars(part).items() if k not in ("_parameters", "_modules")}
        for key, value in {**kept.pop("_buffers", {}), **kept}.items():
            tensors = [tensor.clone() for tensor in tensors_in(value)]
            if tensors:
                yield f"{name}.{key}".lstrip("."), tensors


def _same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return len(a) == len(b) and all(map(torch.equal, a, b))
