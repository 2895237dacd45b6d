"""Tells Home Assistant, by MQTT discovery, what a stream's predictions are."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from .messages import Output

_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]")


def announcements(
    prefix: str, stream: str, topic: str, outputs: Sequence[str], has_stage: bool
) -> list[Output]:
    """Return what announces a stream as a device: a sensor an output, and its score and alarm.

    Parameters
    ----------
    prefix : str
        Home Assistant's, usually ``homeassistant``.
    stream : str
    topic : str
        Where the predictions of the stream are published, as JSON.
    outputs : sequence of str
    has_stage : bool
        Whether predictions have a score and an alarm.
    """
    device = f"streamlstm_{_FORBIDDEN.sub('_', stream)}"
    entities = [("sensor", name, f"value_json.prediction[{json.dumps(name)}]") for name in outputs]
    if has_stage:
        entities += [
            ("sensor", "score", "value_json.score"),
            ("binary_sensor", "alarm", "'ON' if value_json.alarm else 'OFF'"),
        ]
    found = []
    for kind, name, value in entities:
        own = _FORBIDDEN.sub("_", name)
        content: dict[str, Any] = {
            "name": name,
            "unique_id": f"{device}_{own}",
            "state_topic": topic,
            "value_template": "{{ " + value + " }}",
            "device": {"identifiers": [device], "name": stream, "manufacturer": "streamlstm"},
        }
        if kind == "sensor":
            content["state_class"] = "measurement"
        payload = json.dumps(content).encode()
        found.append(Output(f"{prefix}/{kind}/{device}/{own}/config", payload, stream, {}, True))
    return found
