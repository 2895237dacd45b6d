"""What a bridge is told, by options of ``streamlstm bridge``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from ..engine.numbers import sparse_seq
from ..errors import BadValueError, shown
from .address import address_of

_SHORTEST_JOIN = 1e-3  # so that the place of each window since 1970 is a sparse number
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
    url: str | None = None
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
    user: str = ""
    password: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    cert_key: Path | None = None
    client: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if not self.topics:
            raise BadValueError(
                "--in: expected a topic to read, such as plant/{machine}/temperature"
            )
        urls = [address_of(self.broker, url) for url in (self.url or "127.0.0.1").split(",")]
        if not self.name:
            raise BadValueError("--name: expected a name, under which the broker keeps its place")
        if self.password and not self.user and not (self.broker == "mqtt" and urls[0].username):
            raise BadValueError("--password: expected --user, whose password it is")
        if self.home_assistant and not (self.out and self.out_format == "json"):
            raise BadValueError("--home-assistant: expected --out, and json as --out-format")
        if self.cert_key is not None and self.cert is None:
            raise BadValueError("--cert-key: expected --cert, the certificate that it is of")
        if self.generation.isdigit():
            try:
                sparse_seq(0, int(self.generation))
            except BadValueError as error:
                raise BadValueError(f"--{error}") from None
        if 0 < self.join < _SHORTEST_JOIN:
            raise BadValueError(f"--join: expected 1ms or more, got {self.join:g} seconds")


def duration(option: str, text: str) -> float:
    """Return a duration such as ``500ms``, ``1s`` or ``2m`` in seconds."""
    found = _DURATION.fullmatch(text.strip())
    seconds = float(found[1]) * _SECONDS[found[2]] if found else math.nan
    if not seconds > 0:
        raise BadValueError(f"{option}: expected a duration such as 500ms or 1s, got {shown(text)}")
    return seconds
