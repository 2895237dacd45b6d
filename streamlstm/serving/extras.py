"""Which parts of a model's results a worker writes into PREDICTION and PREDICTIONS."""

from .. import wire
from ..network.model import Model
from ..network.online import KINDS
from ..wire import COUNT, FLAG, FLOATS, NUMBER, WIDE, WORD, Extra


def model_extras(model: Model) -> wire.Extras | None:
    """Return how a model's predictions are written (docs/protocol.md): their map, their offsets.

    None if it has no stage and no offsets: then they are bins of float32.
    """
    online, outputs = model.online, model.output_size
    offsets = () if model.output_offsets is None else tuple(model.output_offsets.tolist())
    if online is None:
        return wire.Extras(outputs, (), (), (), offsets, has_map=False) if offsets else None
    bound = WIDE if offsets else FLOATS
    places = model.result_places
    level = places.level if model.has_levels else 0
    bounds = outputs * len(online.intervals)
    extras = [Extra("error", FLOATS, places.error, outputs)]
    if bounds:
        extras += [
            Extra("low", bound, places.low, bounds),
            Extra("high", bound, places.high, bounds),
        ]
    if online.anomaly:
        extras += [
            Extra("score", NUMBER, places.score),
            Extra("p", NUMBER, places.p_value),
            Extra("alarm", FLAG, places.alarm),
            Extra("drift", FLAG, places.drift),
            Extra("kind", WORD, places.kind),
        ]
    if any(online.fill_of(n) != "refuse" for n in range(model.input_size)):
        extras.append(Extra("filled", COUNT, places.filled))
    return wire.Extras(outputs, online.intervals, KINDS, tuple(extras), offsets, level=level)
