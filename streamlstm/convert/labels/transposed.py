"""Vectors that hold one feature of all rows of a window, followed on labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...network.layers import Transpose
from .signal import Labels

if TYPE_CHECKING:
    from .signals import Signals


def transposed(signals: Signals, labels: Labels) -> Labels:
    """Return labels[..., T] of one feature at all T rows as those of exchanged rows and features.

    Others are returned as they are. So a linear layer over the rows of a window is one over the
    features of a window on its side, as of x.transpose(1, 2).
    """
    found = signals.locate(labels.reshape(-1, labels.shape[-1]))
    one = found.signal[0, 0]
    if not signals.windowed or one < 0 or (found.signal != one).any():
        return labels
    old, value = signals[int(one)], found.value
    stream, step = np.divmod(found.position, old.rows)
    columns = step.shape[1] == old.rows and (step == np.arange(old.rows)).all()
    columns = columns and (value == value[:, :1]).all() and (stream == stream[:, :1]).all()
    if not columns or old.hidden or (value == value[0, 0]).all():  # those are flattened
        return labels
    new = signals.over_rows(old, Transpose(old.width, old.rows), "a transposition")
    moved = new.first + (stream * new.rows + value) * new.width + step
    return np.asarray(moved.reshape(labels.shape))
