"""Predictions as a broker's messages."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from .. import wire
from ..client.replay.feed import Told
from ..engine.numbers import split_seq
from .home_assistant import announcements
from .messages import Message, Output, Receipt
from .settings import Settings
from .topics import check_template, fill


def template_of(settings: Settings, option: str) -> str:
    """Return the checked template of where something is published: ``out`` or ``alarms``."""
    return check_template(option, getattr(settings, option), ["stream"])


class Publications:
    """Says what is published of a prediction.

    Parameters
    ----------
    settings : Settings
    outputs : sequence of str
        Names of the model's outputs.
    """

    def __init__(self, settings: Settings, outputs: Sequence[str]) -> None:
        self._outputs = list(outputs)
        self._out, self._alarms = template_of(settings, "out"), template_of(settings, "alarms")
        self._encode: Callable[[Any], bytes] = _json if settings.out_format == "json" else wire.pack
        self._retain, self._home_assistant = settings.retain, settings.home_assistant
        self._name = settings.name
        self._known: set[str] = set()

    def of(self, told: Told) -> list[Output]:
        """Return what to publish; each settles the receipt of the observation."""
        prediction, entry = told.prediction, told.entry
        receipt = entry.source
        assert isinstance(receipt, Receipt)
        is_alarm = bool(self._alarms) and prediction.has_stage and bool(prediction.alarm)
        if not self._out and not is_alarm:
            return []
        stream = str(entry.stream)
        payload = self._encode(self._content(told, receipt.time))
        topics = [(self._out, self._retain)] if self._out else []
        topics += [(self._alarms, False)] if is_alarm else []
        headers = {"stream": stream, "seq": number_text(entry.seq)}
        found = [
            Output(fill(topic, {"stream": stream}), payload, stream, headers, keep, receipt.settle)
            for topic, keep in topics
        ]
        receipt.expect(len(found))
        return [*self._announced(stream, prediction.has_stage), *found]

    def _announced(self, stream: str, has_stage: bool) -> list[Output]:
        """Return what tells Home Assistant of a stream that is new."""
        prefix = self._home_assistant
        if not prefix or stream in self._known:
            return []
        self._known.add(stream)
        topic = fill(self._out, {"stream": stream})
        return announcements(prefix, self._name, stream, topic, self._outputs, has_stage)

    def _content(self, told: Told, time: float | None) -> dict[str, Any]:
        entry, prediction = told
        content: dict[str, Any] = {"stream": entry.stream}
        if (sparse := split_seq(entry.seq)) is None:
            content["seq"] = entry.seq
        else:
            content["seq"] = sparse.number
            if sparse.generation:
                content["generation"] = sparse.generation
        content["time"] = time
        content["prediction"] = self._named(prediction.y)
        if prediction.has_stage:
            if prediction.levels:
                low, high = self._named(prediction.low), self._named(prediction.high)
                content["level"] = prediction.levels[-1]
                content["low"], content["high"] = low, high
            content["score"], content["p"] = _known(prediction.score), _known(prediction.p_value)
            content["alarm"], content["kind"] = bool(prediction.alarm), prediction.kind
        return content

    def _named(self, values: Any) -> dict[str, float | None]:
        return dict(zip(self._outputs, map(_known, values.tolist()), strict=True))


def _known(value: float) -> float | None:
    """Return a number as JSON can have it; None for NaN and infinity."""
    value = float(value)
    return round(value, 9) if math.isfinite(value) else None


_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def _json(content: Any) -> bytes:
    return _ENCODER.encode(content).encode()


def number_text(seq: int) -> str:
    """Return a sequence number as a text that sorts by its generation first."""
    sparse = split_seq(seq)
    return str(seq) if sparse is None else f"{sparse.generation}-{sparse.number}"


def dead_letter(topic: str, message: Message, reason: str, settle: Callable[[], object]) -> Output:
    """Return what is published of a message that was left out: as it came, with the reason."""
    headers = {"topic": message.topic, "reason": reason}
    return Output(topic, message.payload, message.topic, headers, settle=settle)
