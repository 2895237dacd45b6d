"""What a bridge is told, by options of ``streamlstm bridge`` or by a TOML file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from typing import Any

from ..errors import BadValueError, shown
from .payloads import DECODERS, UNITS

BROKERS = ("mqtt", "kafka", "nats")
FORMATS = tuple(DECODERS)
OUTPUT_FORMATS = ("json", "msgpack")
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|h)")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Settings:
    """All settings of a bridge; docs/bridges.md says what each means.

    Attributes
    ----------
    join : float
        In seconds; 0 joins nothing.
    """

    broker: str
    url: str = ""
    topics: tuple[str, ...] = ()
    stream: str = ""
    format: str = "json"
    features: tuple[str, ...] = ()
    decimal: str = "."
    time: str = ""
    time_unit: str = "s"
    number: str = ""
    generation: str = "0"
    join: float = 0.0
    dead_letter: str = ""
    out: str = ""
    out_format: str = "json"
    alarms: str = ""
    retain: bool = True
    home_assistant: str = ""
    name: str = "streamlstm"
    start: str = "earliest"
    lossless: bool = True
    client: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is no setting."""
        for name, value, known in (
            ("broker", self.broker, BROKERS),
            ("format", self.format, FORMATS),
            ("out_format", self.out_format, OUTPUT_FORMATS),
            ("time_unit", self.time_unit, tuple(UNITS)),
            ("decimal", self.decimal, (".", ",")),
            ("start", self.start, ("earliest", "latest")),
        ):
            if value not in known:
                raise BadValueError(
                    f"{name}: expected one of {', '.join(known)}, got {shown(value)}"
                )
        if not self.topics:
            raise BadValueError("in: expected a topic to read, such as plant/{machine}/temperature")
        if self.home_assistant and (self.broker != "mqtt" or not self.out):
            raise BadValueError("home_assistant: expected a bridge of mqtt that has an out")


def duration(option: str, text: str) -> float:
    """Return a duration such as ``500ms``, ``1s`` or ``2m`` in seconds."""
    found = _DURATION.fullmatch(text.strip())
    seconds = float(found[1]) * _SECONDS[found[2]] if found else math.nan
    if not seconds > 0:
        raise BadValueError(f"{option}: expected a duration such as 500ms or 1s, got {shown(text)}")
    return seconds


def from_table(broker: str, table: dict[str, Any], where: str) -> dict[str, Any]:
    """Return settings of a TOML table by the names of :class:`Settings`.

    Raises
    ------
    BadValueError
        If a key is unknown, or a value of another type.
    """
    known = {field.name: field for field in fields(Settings) if field.name != "broker"}
    named = {"in": "topics", **{name: name for name in known if name != "topics"}}
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = named.get(key.replace("-", "_"))
        if name is None:
            raise BadValueError(
                f"{where}: {key}: expected one of {', '.join(sorted(named))}: no such setting"
            )
        if name in ("topics", "features"):
            value = (value,) if isinstance(value, str) else tuple(value)
        elif name == "generation":
            value = str(value)
        elif name == "join":
            value = duration("join", str(value))
        kind: type = {
            "topics": tuple, "features": tuple, "retain": bool, "lossless": bool,
            "client": dict, "join": float,
        }.get(name, str)  # fmt: skip
        if not isinstance(value, kind):
            raise BadValueError(f"{where}: {key}: expected a {kind.__name__}, got {shown(value)}")
        found[name] = value
    return {"broker": broker, **found}
