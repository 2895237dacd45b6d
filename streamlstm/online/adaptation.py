"""A linear head per stream that goes on learning: recursive least squares on the last hidden state.

A network's output is linear in its last hidden state in most networks, and so can be corrected
where it is served, for each stream on its own, by what has come since. The head adds to the
network's forecast of an output

    y' = y + scale (w . phi),
    phi = (h, 1, v[t] - v[t-1], v[t] - v[t-2], v[t] - m[t], v[t-L+horizon] - v[t-L], ...)

with the hidden state h, and of each output's value v its latest changes, its distance from its mean
m over some 200 values, and the change that followed a season L ago, all divided by the target's
scale and clipped to 64. ``w`` begins at zero: the head is the network's own until labels have come.
When the label of phi arrives, ``horizon`` steps later,

    e = (label - y') / scale, clipped to 2 running errors of the mix
    w <- w + P phi e / (0.9995 + phi . P phi)

and P begins as 0.01 times the identity, as if the trained head had already seen enough to be moved
slowly (least_squares.py). One P serves all outputs, since phi is the same for them.

It promises errors that are finite whatever comes, and no memory of more than some 2,000 steps. It
does not promise lower errors: a head may follow noise, most of all far ahead, where its labels
hang together. That is what the mix is for (mixing.py).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..kernels.layout import PAD
from ..kernels.online import adaptation as kernel
from ..kernels.online import outcomes
from ..kernels.online.adaptation import FIRST_P, HEAD_CLIP, LARGEST, LARGEST_FEATURE, MEMORY
from ..kernels.online.mixing import COUNT, ERROR, LOSSES
from . import least_squares, mixing

Array = NDArray[Any]
State = dict[str, Array]


@dataclass(frozen=True)
class Adaptation:
    """What one model adapts, and how much of it is kept.

    Attributes
    ----------
    units : int
        H, of the last hidden state.
    horizon : int
        Steps from an observation to its label, 1 or more.
    scale : tuple of float
        Of each of the O outputs, above 0: the spread of what the network predicts in training.
    seasons : tuple of int
        Steps; values are kept for the longest of them.
    labels : int
        Steps whose labels may come from outside.
    adapted : bool
        Whether there is a head that learns, or only a mix.
    """

    units: int
    horizon: int
    scale: tuple[float, ...]
    seasons: tuple[int, ...] = ()
    labels: int = 0
    adapted: bool = True

    @property
    def lags(self) -> tuple[int, ...]:
        """The seasons as whole multiples that are not shorter than the horizon."""
        return tuple(n * -(-self.horizon // n) for n in self.seasons)

    @property
    def values(self) -> int:
        """Values of each output that are kept."""
        return max(2, *self.lags, 0)

    @property
    def kept(self) -> int:
        """Steps whose forecasts and features are kept."""
        return max(self.horizon, self.labels)

    @property
    def experts(self) -> int:
        """Persistence, the network, each season, and the head if there is one."""
        return 2 + len(self.seasons) + self.adapted

    @property
    def features(self) -> int:
        """D, 0 if there is no head."""
        if not self.adapted:
            return 0
        return self.units + 1 + (3 + len(self.seasons)) * len(self.scale)

    @property
    def scratch(self) -> int:
        """Floats of working memory that the kernels need."""
        padded = -(-self.features // PAD) * PAD
        return 3 * padded + PAD


def columns(head: Adaptation) -> dict[str, int]:
    """Return how many floats are kept of a stream, by name, in the order of the row.

    - ``places``: places in the rings of steps and of values.
    - ``levels``: the running mean of each output's value, for a head.
    - ``history``: the latest values of each output.
    - ``mix``: of each output the running error, the number of labels and the experts' losses.
    - ``weights``: w of each output.
    - ``P``: its lower triangle, row by row.
    - ``steps``: of each step that is kept its number (plus 1, in two floats), of each output
      whether its label is still to come, the experts' forecasts and the mix's, and phi.
    """
    O, D, E = len(head.scale), head.features, head.experts
    return {
        "places": 2,
        "levels": O * head.adapted,
        "history": head.values * O,
        "mix": O * (LOSSES + E),
        "weights": O * D,
        "P": D * (D + 1) // 2,
        "steps": head.kept * (kernel.FORECASTS + O * (E + 2) + D),
    }


def initial(head: Adaptation) -> NDArray[np.float32]:
    """Return the columns of a new stream: NaN for its values, P's diagonal, zeros elsewhere."""
    parts = {name: np.zeros(n, np.float32) for name, n in columns(head).items()}
    parts["levels"][:] = parts["history"][:] = np.nan
    diagonal = np.arange(head.features)
    parts["P"][diagonal * (diagonal + 3) // 2] = FIRST_P
    return np.concatenate(list(parts.values()))


def constants(head: Adaptation) -> NDArray[np.float32]:
    """Return the constants that the kernels read."""
    whole = [head.units, len(head.scale), head.horizon, head.kept, head.adapted, len(head.lags)]
    return np.array([*whole, *head.lags, *head.scale], np.float32)


def split(head: Adaptation, rows: Array) -> State:
    """Return the columns of rows[B, n] by name."""
    ends = np.cumsum(list(columns(head).values()))
    return dict(zip(columns(head), np.split(rows, ends[:-1], axis=1), strict=True))


def update(labels: ArrayLike, state: State, head: Adaptation) -> State:
    """Learn from the values that have come: labels[B, O] of the forecasts due now, NaN for none."""
    steps, places = _steps(state, head), state["places"][:, 0].astype(np.int64)
    return _learn(np.asarray(labels), (places - head.horizon) % head.kept, steps, state, head)


def predict(
    h: Array, now: Array, y: Array, numbers: ArrayLike, state: State, head: Adaptation
) -> tuple[Array, State]:
    """Adapt and mix the network's forecasts, and keep them until their labels come.

    Parameters
    ----------
    h : float[B, H]
        The last hidden state.
    now : float[B, O]
        The value now of what each output forecasts; NaN if it is not known.
    y : float[B, O]
        The network's forecasts, in the unit of the series.
    numbers : int[B]
        Sequence numbers of the observations, from 0, below 2**48 - 1.
    state : dict
        See `columns`.
    head : Adaptation

    Returns
    -------
    y : float[B, O]
        The mix's forecasts.
    state : dict
        After the step.
    """
    B, O = y.shape
    rows, dtype, scale = np.arange(B), y.dtype, np.array(head.scale, y.dtype)
    history = state["history"].reshape(B, head.values, O).copy()
    place = state["places"][:, 1].astype(np.int64)

    def past(lag: int) -> Array:
        return np.asarray(history[rows, (place - lag) % head.values]) if lag else now

    mixed, steps = _mixed(state, head), _steps(state, head)
    forecasts = [now, y, *(past(lag - head.horizon) for lag in head.lags)]
    phi, levels = np.zeros((B, 0), dtype), state["levels"]
    if head.adapted:
        levels = _follow(state["levels"], now, scale)
        changes = [now - past(1), now - past(2), now - levels]
        changes += [past(lag - head.horizon) - past(lag) for lag in head.lags]
        change = np.nan_to_num(np.stack(changes, axis=2) / scale[:, None], posinf=np.inf)
        phi = np.concatenate([h, np.ones((B, 1), dtype), change.reshape(B, -1)], axis=1)
        phi = np.clip(phi, -LARGEST_FEATURE, LARGEST_FEATURE)
        w = state["weights"].reshape(B, O, -1)
        forecasts.append(np.clip(y + scale * (w @ phi[:, :, None])[:, :, 0], -LARGEST, LARGEST))
    experts = np.stack(forecasts, axis=2)
    told = mixing.mix(experts, mixed[:, :, LOSSES:])
    at = state["places"][:, 0].astype(np.int64)
    number = np.asarray(numbers, np.int64) + 1
    entry = np.concatenate([np.ones((B, O, 1), dtype), experts, told[..., None]], axis=2)
    high, low = number // kernel.DIGITS, number % kernel.DIGITS
    steps[rows, at] = np.concatenate([high[:, None], low[:, None], entry.reshape(B, -1), phi], 1)
    history[rows, place] = now
    ends = np.stack([(at + 1) % head.kept, (place + 1) % head.values], axis=1)
    return told.astype(dtype), state | {
        "places": ends.astype(dtype),
        "levels": levels,
        "history": history.reshape(B, -1),
        "steps": steps.reshape(B, -1),
    }


def _follow(levels: Array, now: Array, scale: Array) -> Array:
    """Return the running means after the values now[B, O]; what is too far is a new level."""
    near = np.abs(now - levels) / scale <= LARGEST_FEATURE
    followed = np.where(near, levels + (now - levels) / MEMORY, now)
    return np.where(np.isnan(now), levels, followed)


def step(
    h: Array,
    now: Array,
    labels: Array,
    y: Array,
    numbers: ArrayLike,
    state: State,
    head: Adaptation,
) -> tuple[Array, State]:
    """Learn from the labels that have come, then forecast: `update`, `predict`."""
    return predict(h, now, y, numbers, update(labels, state, head), head)


def told_of(number: int, state: State, head: Adaptation) -> Array:
    """Return what was forecast of the observation ``number`` of a single stream, float[O].

    NaN where its label has come; and if it is not kept any more, or has not come yet.
    """
    steps = _steps(state, head)
    high, low = steps[0, :, : kernel.FORECASTS].astype(np.int64).T
    there = np.flatnonzero(high * kernel.DIGITS + low - 1 == number)
    if not len(there):
        return np.full(len(head.scale), np.nan)
    entries = _entries(steps, head)[0, there[0]]
    return np.where(entries[:, kernel.OPEN] != 0, entries[:, -1], np.nan)


def label_update(number: int, labels: Array, state: State, head: Adaptation) -> tuple[int, State]:
    """Learn from labels[O] from outside, of the observation ``number`` of a single stream.

    Returns
    -------
    int
        APPLIED, or why not: TOO_OLD (not kept any more, or never seen), NOT_YET, TWICE.
    state : dict
        After that, unchanged unless the labels were applied.
    """
    steps = _steps(state, head)
    high, low = steps[0, :, : kernel.FORECASTS].astype(np.int64).T
    numbers = high * kernel.DIGITS + low - 1
    if number > numbers.max():
        return outcomes.NOT_YET, state
    there = np.flatnonzero(numbers == number)
    if not len(there):
        return outcomes.TOO_OLD, state
    open_now = _entries(steps, head)[0, there[0], :, kernel.OPEN] != 0
    if not (open_now & ~np.isnan(labels)).any():
        return outcomes.TWICE, state
    return outcomes.APPLIED, _learn(np.asarray(labels)[None], there[:1], steps, state, head)


def _mixed(state: State, head: Adaptation) -> Array:
    return state["mix"].reshape(len(state["mix"]), len(head.scale), -1)


def _steps(state: State, head: Adaptation) -> Array:
    """Return a copy of the steps that are kept, [B, kept, n]."""
    return state["steps"].reshape(len(state["steps"]), head.kept, -1).copy()


def _entries(steps: Array, head: Adaptation) -> Array:
    """Return the view [B, kept, O, n] of what is kept of each output's forecasts."""
    width = len(head.scale) * (head.experts + 2)
    entries = steps[:, :, kernel.FORECASTS : kernel.FORECASTS + width]
    return entries.reshape(*steps.shape[:2], len(head.scale), -1)


def _learn(labels: Array, places: Array, steps: Array, state: State, head: Adaptation) -> State:
    """Learn from labels[B, O] of the steps at places[B]; one that is not open changes nothing."""
    B, O = labels.shape
    rows, scale = np.arange(B), np.array(head.scale, steps.dtype)
    entry = _entries(steps, head)[rows, places].copy()
    labels = np.where(entry[:, :, kernel.OPEN] != 0, labels, np.nan).astype(steps.dtype)
    due = ~np.isnan(labels)
    experts, mixed = entry[:, :, kernel.EXPERTS :], _mixed(state, head)
    changed = state.copy()
    if head.adapted:
        phi = steps[rows, places, -head.features :]
        targets = (labels - experts[:, :, 1]) / scale
        w, changed["P"] = least_squares.update(
            phi,
            targets,
            state["weights"].reshape(B, O, -1),
            state["P"],
            HEAD_CLIP * mixing.limit(*_errors(mixed)),
        )
        changed["weights"] = w.reshape(B, -1)
    missed = np.abs(experts - labels[:, :, None]) / scale[:, None]
    error, count, losses = mixing.score(
        missed[:, :, :-1], missed[:, :, -1], *_errors(mixed), mixed[:, :, LOSSES:]
    )
    head_of_mix = np.stack([error, count], axis=2)
    changed["mix"] = np.concatenate([head_of_mix, losses], axis=2).reshape(B, -1)
    entry[:, :, kernel.OPEN] *= ~due
    width = O * (head.experts + 2)
    steps[rows, places, kernel.FORECASTS : kernel.FORECASTS + width] = entry.reshape(B, -1)
    changed["steps"] = steps.reshape(B, -1)
    return changed


def _errors(mixed: Array) -> tuple[Array, Array]:
    return mixed[:, :, ERROR], mixed[:, :, COUNT]
