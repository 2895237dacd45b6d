"""Which parts of a model's results a worker writes into PREDICTION and PREDICTIONS."""

from .. import wire
from ..network.model import Model
from ..network.online import KINDS, result_places
from ..wire import COUNT, FLAG, FLOATS, NUMBER, WORD, Extra


def model_extras(model: Model) -> wire.Extras | None:
    """Return the map of a model's predictions (docs/protocol.md); None if it has no stage."""
    online, outputs = model.online, model.output_size
    if online is None:
        return None
    places = result_places(outputs, len(online.intervals))
    bounds = outputs * len(online.intervals)
    extras = [Extra("error", FLOATS, places.error, outputs)]
    if bounds:
        extras += [
            Extra("low", FLOATS, places.low, bounds),
            Extra("high", FLOATS, places.high, bounds),
        ]
    if online.anomaly:
        extras += [
            Extra("score", NUMBER, places.score),
            Extra("p", NUMBER, places.p_value),
            Extra("alarm", FLAG, places.alarm),
            Extra("kind", WORD, places.kind),
        ]
    if any(online.fill_of(n) != "refuse" for n in range(model.input_size)):
        extras.append(Extra("filled", COUNT, places.filled))
    return wire.Extras(outputs, online.intervals, KINDS, tuple(extras))
