"""AdditiveAttention of Keras: scores ``sum(scale tanh(q + k))``, made of layers that are there."""

import numpy as np

from ...errors import ConvertError
from ...network.layers import Dense, Flatten, Pool, SoftmaxOverRows
from ..common.weights import Float64Array
from . import rows
from .branches import add_joined, branches_of
from .context import Context
from .network import KerasLayer

_MOST_QUERIES = 128


def additive(context: Context, layer: KerasLayer) -> None:
    """AdditiveAttention of a sequence to itself, or of branches: query, value, key."""
    used = ("scale",) if layer.config.get("use_scale", True) else ()
    weights = context.weights.take(layer, used)
    scale = weights.take("scale") if used else None
    weights.finish()
    attend(context, layer, scale, 1.0)


def attend(context: Context, layer: KerasLayer, scale: Float64Array | None, inside: float) -> None:
    """Append attention with scores ``sum(scale tanh(inside (q + k)))``.

    Parameters
    ----------
    context : Context
    layer : KerasLayer
    scale : float64[N], optional
        By default ones.
    inside : float
    """
    if "use_causal_mask': True" in repr(layer.calls) or layer.config.get("causal"):
        raise ConvertError(f"{layer.where} is refused: additive attention that is causal.")
    if not layer.branches:
        T, N = _rows(context, layer), context.need_width(layer)
        if T == 1:
            return  # a row that sees itself alone
        every = slice(0, N)
        made = [_look(context, layer, (t, T), every, every, every, scale, inside) for t in range(T)]
        _collect(context, layer, made)
        return
    query, value, *key = parts = branches_of(context, layer)
    if query.time in (0, 1):
        _of_one(context, layer, parts, scale, inside)
        return
    T, Tv = _rows(query, layer), _rows(value, layer)
    Nq, Nv = query.need_width(layer), value.need_width(layer)
    keys = slice(Nq, Nq + Nv) if not key else slice(Nq + Nv, Nq + Nv + key[0].need_width(layer))
    places = [(t, T) for t in range(T)]
    queries = [slice(0, Nq)] * T
    if Tv != T:  # all queries stand in each row, one behind the other
        query.builder.add(Flatten(Nq, T), {}, layer.where)
        query.time, more = 1, (T - 1) * Nq
        keys = slice(keys.start + more, keys.stop + more)
        places, queries = [(0, 1)] * T, [slice(t * Nq, (t + 1) * Nq) for t in range(T)]
    start = queries[-1].stop
    add_joined(context, layer, parts, "concatenate")
    values = slice(start, start + Nv)
    made = [
        _look(context, layer, place, q, keys, values, scale, inside)
        for place, q in zip(places, queries, strict=True)
    ]
    _collect(context, layer, made)


def _rows(context: Context, layer: KerasLayer) -> int:
    if not context.time or context.time > _MOST_QUERIES:
        raise ConvertError(
            f"{layer.where} is refused: expected one query, or those of up to {_MOST_QUERIES} rows "
            "of a window of known length (window=T)."
        )
    return context.time


def _of_one(
    context: Context,
    layer: KerasLayer,
    parts: list[Context],
    scale: Float64Array | None,
    inside: float,
) -> None:
    """Append attention of one query."""
    query, value, key = parts[0], parts[1], branches_of(context, layer)[-1]
    shares = context.branch()
    add_joined(shares, layer, [query, key], "add")
    _score(shares, layer, slice(0, query.need_width(layer)), scale, inside)
    add_joined(context, layer, [shares, value], "multiply")
    context.builder.add(Pool(context.need_width(layer), "sum"), {}, layer.where)
    context.time = 1


def _look(
    context: Context,
    layer: KerasLayer,
    place: tuple[int, int],
    query: slice,
    key: slice,
    value: slice,
    scale: Float64Array | None,
    inside: float,
) -> Context:
    """Return what the query of one row sees: one row of values.

    Each row holds a query, a value and a key, or all three are one. The query is added in the
    columns of the key; the others go along, and do not count.
    """
    N = context.need_width(layer)
    picked, all_rows = context.branch(), context.branch()
    rows.pick(picked, *place, layer.where)
    if query != key:
        moved = np.zeros((N, N))
        moved[range(key.start, key.stop), range(query.start, query.stop)] = 1
        picked.builder.add(Dense(N, N), {"weight": moved, "bias": np.zeros(N)}, layer.where)
    shares = context.branch()
    add_joined(shares, layer, [picked, all_rows], "add")
    _score(shares, layer, key, scale, inside)
    seen = context.branch()
    add_joined(seen, layer, [shares, context.branch()], "multiply")
    seen.builder.add(Pool(N, "sum"), {}, layer.where)
    if value != slice(0, N):
        V = value.stop - value.start
        taken = {"weight": np.eye(N)[value], "bias": np.zeros(V)}
        seen.builder.add(Dense(N, V), taken, layer.where)
    seen.time = 1
    return seen


def _score(
    context: Context, layer: KerasLayer, key: slice, scale: Float64Array | None, inside: float
) -> None:
    """Turn sums of query and key into shares of the rows."""
    N = context.need_width(layer)
    weight = np.zeros((1, N))
    weight[0, key] = 1.0 if scale is None else np.broadcast_to(scale, key.stop - key.start)
    context.builder.scale(inside, 0, layer.where)
    context.builder.activate("tanh", layer.where)
    context.builder.add(Dense(N, 1), {"weight": weight, "bias": np.zeros(1)}, layer.where)
    context.builder.add(SoftmaxOverRows(1), {}, layer.where)


def _collect(context: Context, layer: KerasLayer, made: list[Context]) -> None:
    """Make rows of what the queries see."""
    if len(made) > 1:
        context.builder.join([part.builder for part in made], "concatenate", layer.where)
    rows.to_rows(context, len(made), layer.where)
