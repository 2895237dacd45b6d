"""Rows that are made of all numbers of a window, each in a way of its own.

A window is one row of T * N numbers (:class:`streamlstm.Flatten`). Any choice of these is one
matrix, and what it chooses is made into rows again by a :class:`streamlstm.Transpose` to rows of
one number and a convolution that takes as many of these as a row has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ConvertError
from ...network.layers import Conv1D, Flatten, Repeat, Reverse, Transpose
from .signal import Labels, Located, Signal, StreamsMixedError
from .transposed import transposed

if TYPE_CHECKING:
    from .signals import Signals

_MAX_NUMBERS = 8192  # of rows that are made anew


def in_rows(signals: Signals, labels: Labels, axis: int) -> Labels:
    """Return labels whose vectors along an axis are at the places of their rows."""
    last = np.moveaxis(labels, axis, -1)
    signal, positions = signals.vectors(last, "what is joined")
    return np.moveaxis(signals.labels(signal, positions), -1, axis)


def joined(
    signals: Signals, follow: Callable[[Labels, Labels], Labels], a: Labels, b: Labels
) -> Labels:
    """Return what joins two arrays of labels; of a window, at the places of their rows.

    Vectors are along the last axis, or along the second one.
    """
    try:
        return follow(a, b)
    except ConvertError as error:
        if not signals.windowed:
            raise
        for axis in (-1, 1):
            try:
                return follow(*(in_rows(signals, part, axis) for part in (a, b)))
            except (ConvertError, np.exceptions.AxisError):
                continue
        raise error from None


def rows_anew(signals: Signals, labels: Labels, what: str, *, mixed: bool) -> tuple[Signal, Labels]:
    """Return a signal whose rows are labels[M, N], each chosen of all numbers of its window.

    Parameters
    ----------
    signals : Signals
    labels : int64[M, N]
    what : str
        What takes them, for messages.
    mixed : bool
        Whether a row may hold numbers of several rows of the window, as if rows and features were
        exchanged.

    Returns
    -------
    signal : Signal
    positions : int64[M]

    Raises
    ------
    ConvertError
        If they are chosen in another way in some streams than in others, or are too many.
    """
    found = signals.locate(labels)
    stream, step = signals.steps_of(found)
    if (stream != stream[:, :1]).any():
        raise StreamsMixedError(f"{what} takes the values of several streams at once")
    names, order = np.unique(stream[:, 0]), np.argsort(stream[:, 0], kind="stable")
    K, rest = divmod(len(labels), len(names))
    if rest or (stream[order, 0].reshape(len(names), K) != names[:, None]).any():
        raise ConvertError(f"{what} is given other values of some streams than of others")
    parts = [part[order].reshape(len(names), K, -1) for part in (*found, step)]
    if any((part != part[0]).any() for part in (parts[0], parts[2], parts[3])):
        raise ConvertError(f"{what} is given other values of some streams than of others")
    if K * labels.shape[1] > _MAX_NUMBERS:
        raise ConvertError(f"{what} makes {K} rows anew, each in a way of its own: too many")
    number, _, value, row = (part[0] for part in parts)
    together = _aligned(signals, number, value, row)
    if together is not None:
        return together, _positions(stream, order, K)
    if not mixed and (row != row[:, :1]).any() and not _made_anew(signals, number):
        raise ConvertError(uneven(signals, found, what))
    turned = transposed(signals, labels)
    if turned is not labels:
        return signals.vectors(turned, what)
    signal = _made_of_all(signals, found, order, K)
    return signal, _positions(stream, order, K)


def uneven(signals: Signals, found: Located, what: str) -> str:
    """Return why vectors cannot be followed that hold other values at some steps."""
    names = " and ".join(dict.fromkeys(signals[n].name for n in np.unique(found.signal)))
    if all(signals[n].rows == 1 for n in np.unique(found.signal)):
        return f"{what} takes the numbers of one vector ({names}) in pieces, as if they were rows"
    return f"{what} is given other values of {names} at some steps than at others"


def _positions(stream: Labels, order: Labels, K: int) -> Labels:
    """Return the positions of the rows made anew, in the order in which they were given."""
    positions = np.empty(len(order), np.int64)
    positions[order] = (np.unique(stream)[:, None] * K + np.arange(K)).ravel()
    return positions


def _aligned(signals: Signals, number: Labels, value: Labels, row: Labels) -> Signal | None:
    """Return rows whose values are of some signals, each with its rows in an order of its own.

    None if the values are others in some rows than in others.
    """
    if (number != number[0]).any() or (value != value[0]).any():
        return None
    pairs = [
        (in_order(signals, signals[int(n)], steps), int(v))
        for n, v, steps in zip(number[0], value[0], row.T, strict=True)
    ]
    return signals.resolve(signals.gather(pairs))


def in_order(signals: Signals, signal: Signal, steps: Labels) -> Signal:
    """Return some rows of a signal, in another order."""
    rows = np.arange(signal.rows)
    if signal.rows == 1 or np.array_equal(steps, rows):
        return signal
    if np.array_equal(steps, rows[::-1]):
        return signals.over_rows(signal, Reverse(signal.width), "flip")
    if (steps == rows[-1]).all():
        return signals.over_rows(signal, Repeat(signal.width, len(steps)), "repeat")
    name = "rows and features exchanged"
    turned = signals.over_rows(signal, Transpose(signal.width, signal.rows), name)
    chosen = signals.linear(turned, np.eye(signal.rows)[steps], None, "a choice of rows")
    return signals.over_rows(chosen, Transpose(len(steps), signal.width), name)


def _made_anew(signals: Signals, number: Labels) -> bool:
    """Return whether the rows of some signals are no rows of the window any more."""

    def turned(signal: Signal) -> bool:
        while signal.source is not None or signal.terms:
            layer = None if signal.layer is None else signal.layer.options.get("layer")
            if isinstance(layer, Transpose | Flatten):
                return True
            signal = signal.source or signal.terms[0][0]
        return False

    return all(turned(signals[int(n)]) for n in np.unique(number))


def _made_of_all(signals: Signals, found: Located, order: Labels, K: int) -> Signal:
    flat = signals.flattened(Located(*(part[order[:K]] for part in found)))
    N = flat.value.shape[1]
    one, natural = signals[int(flat.signal.flat[0])], np.arange(N * K).reshape(N, K).T
    same = one.width == N * K and bool((flat.signal == flat.signal.flat[0]).all())
    if same and np.array_equal(flat.value, natural):  # by feature
        turned = unflattened(signals, one, N)
        return signals.over_rows(turned, Transpose(K, N), "rows and features exchanged")
    pairs = zip(flat.signal.ravel(), flat.value.ravel(), strict=True)
    whole = signals.resolve(signals.gather([(signals[int(n)], int(v)) for n, v in pairs]))
    return unflattened(signals, whole, K)


def unflattened(signals: Signals, whole: Signal, rows: int) -> Signal:
    """Return a row of ``rows`` times N numbers as so many rows of N."""
    N = whole.width // rows
    if rows == 1:
        return whole
    name = "rows of a window"
    each = signals.over_rows(whole, Transpose(whole.width, 1), name)
    if N == 1:
        return each
    weight = np.eye(N)[:, :, None]
    arrays = {"weight": weight, "bias": np.zeros(N)}
    return signals.over_rows(each, Conv1D(1, N, N, N), name, arrays)
