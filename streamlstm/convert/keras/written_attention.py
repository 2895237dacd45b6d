"""Attention that a graph of Keras writes with products: ``softmax(q k') v``."""

from collections.abc import Callable
from typing import Any

from .affine import scale_of
from .calls import ORIGIN
from .file import Config
from .tf_functions import as_layer

FACTOR = "streamlstm factor"  # of scores, in the configuration of an Attention
Sources = Callable[[Config], list[tuple[str, int]]]


def replace_products(calls: dict[str, Config], sources: Sources) -> dict[str, Config]:
    """Return calls in which the second product of attention is a layer Attention.

    Parameters
    ----------
    calls : dict of str to dict
        All calls of a graph.
    sources : callable
        Returns the calls that one takes, each with the index of the tensor.
    """
    found = dict(calls)
    for name, layer in calls.items():
        read = _read(layer, calls, sources)
        if read is not None:
            query, key, value, factor = read
            config = {"name": layer["config"].get("name", name), FACTOR: factor}
            tensors = [_tensor(*each) for each in (query, value, key)]
            found[name] = {
                "class_name": "Attention",
                "name": name,
                "config": config,
                "inbound_nodes": [{"args": [tensors], "kwargs": {}}],
                ORIGIN: layer,
            }
    return found


def _read(layer: Config, calls: dict[str, Config], sources: Sources) -> Any:
    """Return query, key, value and the factor of scores, if a layer is the last of attention."""
    kind, config = _as_layer(layer)
    if not _is_product(kind, config, ([2, 1],), False):
        return None
    shares, value = sources(layer)
    layer = calls[shares[0]]
    kind, config = _as_layer(layer)
    is_softmax = kind == "Softmax" and config.get("axis", -1) in (-1, 2, [-1], [2])
    if not is_softmax and not (kind == "Activation" and config.get("activation") == "softmax"):
        return None
    factor = 1.0
    while True:
        given = sources(layer)
        if len(given) != 1:
            return None
        layer = calls[given[0][0]]
        weight = scale_of(layer)
        if weight is None:
            break
        factor *= weight
    kind, config = _as_layer(layer)
    given = sources(layer)
    if len(given) != 2:
        return None
    query, key = given
    if _is_product(kind, config, (2, -1, [2, 2], [-1, -1]), True):
        return query, key, value, factor
    turned = calls[key[0]]
    kind_of_key, turn = _as_layer(turned)
    is_turned = kind_of_key == "Permute" and list(turn.get("dims") or ()) == [2, 1]
    if is_turned and _is_product(kind, config, ([2, 1],), False):
        return query, sources(turned)[0], value, factor
    return None


def _is_product(kind: str, config: Config, axes: tuple[Any, ...], turned: bool) -> bool:
    """Tell whether a layer multiplies rows by features, or with ``turned`` by rows."""
    if kind == "Dot":
        own = config.get("axes")
        own = list(own) if isinstance(own, list | tuple) else own
        return not config.get("normalize") and own in axes
    is_turned = bool(config.get("transpose_b"))
    return kind == "Matmul" and is_turned == turned and not config.get("transpose_a")


def _as_layer(layer: Config) -> tuple[str, Config]:
    return as_layer(str(layer.get("class_name")), layer["config"], layer.get("inbound_nodes"))


def _tensor(name: str, output: int) -> Config:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, output]}}
