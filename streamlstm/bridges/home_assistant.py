"""Tells Home Assistant, by MQTT discovery, what a stream's predictions are."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from typing import Any

from .. import __version__
from .messages import Output

_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]")
_ORIGIN = {"name": "streamlstm", "sw_version": __version__}
ONLINE, OFFLINE = "online", "offline"


def availability_topic(prefix: str, bridge: str) -> str:
    """Return where it stands whether the bridge of a name runs."""
    return f"{prefix}/{_own(bridge)}/availability"


def announcements(
    prefix: str, bridge: str, stream: str, topic: str, outputs: Sequence[str], has_stage: bool
) -> list[Output]:
    """Return what announces a stream as a device: a sensor an output, and its score and alarm.

    Parameters
    ----------
    prefix : str
        Home Assistant's, usually ``homeassistant``.
    bridge : str
        Name of the bridge: without it the device is unavailable.
    stream : str
    topic : str
        Where the predictions of the stream are published, as JSON.
    outputs : sequence of str
    has_stage : bool
        Whether predictions have a score and an alarm.
    """
    device = f"streamlstm_{_own(stream)}"
    entities = [("sensor", name, f"value_json.prediction[{json.dumps(name)}]") for name in outputs]
    if has_stage:
        entities += [
            ("sensor", "score", "value_json.score"),
            ("binary_sensor", "alarm", "'ON' if value_json.alarm else 'OFF'"),
        ]
    found = []
    for kind, name, value in entities:
        own = _own(name)
        content: dict[str, Any] = {
            "name": name,
            "unique_id": f"{device}_{own}",
            "state_topic": topic,
            "value_template": "{{ " + value + " }}",
            "availability_topic": availability_topic(prefix, bridge),
            "device": {"identifiers": [device], "name": stream, "manufacturer": "streamlstm"},
            "origin": _ORIGIN,
        }
        if kind == "sensor":
            content["state_class"] = "measurement"
        else:
            content["device_class"] = "problem"
        payload = json.dumps(content).encode()
        found.append(Output(f"{prefix}/{kind}/{device}/{own}/config", payload, stream, {}, True))
    return found


def _own(name: str) -> str:
    """Return a name as a topic of discovery may have it; no two names get the same."""
    found = _FORBIDDEN.sub("_", name)
    return found if found == name else f"{found}_{zlib.crc32(name.encode()):08x}"
