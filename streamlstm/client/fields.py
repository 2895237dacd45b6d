"""What a prediction says, as fields of JSON: of `watch --json` and of the HTTP gateway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..engine.prediction import Prediction


def as_fields(observed: Prediction) -> dict[str, Any]:
    """Return the outputs and what else is known, for JSON: what is not finite there is null.

    What came less what had been predicted for it is ``residual``: ``error`` says in the output of
    ``publish`` why an observation was refused.
    """
    found: dict[str, Any] = {"prediction": list(finite(observed.y))}
    vectors = {"low": observed.low, "high": observed.high, "residual": observed.error}
    for name, values in vectors.items():
        if (values == values).any():
            found[name] = list(finite(values))
    if observed.score == observed.score:
        found |= {"score": observed.score, "p_value": observed.p_value, "alarm": observed.alarm}
    if observed.kind:
        found["kind"] = observed.kind
    return found | ({"filled": observed.filled} if observed.filled else {})


def finite(values: Any) -> Iterator[float | None]:
    """Yield the numbers of an array, None for what is not finite."""
    for value in values.tolist():
        yield value if abs(value) < float("inf") else None
