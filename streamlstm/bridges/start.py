"""Starts a bridge and runs it to its end."""

from __future__ import annotations

import logging
from typing import Any

from .bridge import Bridge
from .brokers import load
from .loops import check_topics
from .mapping import Mapping
from .predictions import Publications
from .presence import Presence, model_of
from .settings import Settings
from .stopping import Stopping

_LOG = logging.getLogger(__name__)
FINISH = 10.0  # seconds in which a bridge finishes what it has


def start(
    settings: Settings,
    worker: dict[str, Any],
    stopping: Stopping,
    made: list[Bridge] | None = None,
) -> None:
    """Run a bridge until ``stopping`` is set; ``made`` gets it.

    Raises
    ------
    StreamLSTMError
        If it cannot begin, or cannot go on.
    """
    module, make = load(settings.broker)
    check_topics(settings, module.SEPARATOR, module.NAMES)
    model = model_of(worker, stopping)
    if model is None:
        return
    mapping = Mapping(settings, model["inputs"], module.SEPARATOR, module.NAMES)
    publications = Publications(settings, model["outputs"])
    broker = make(settings, mapping.patterns)
    bridge = None
    presence = Presence(worker)
    try:
        feed = {"barrier_seconds": module.BARRIER_SECONDS, **worker}
        bridge = Bridge(settings, mapping, publications, broker, feed, stopping, presence)
        if made is not None:
            made.append(bridge)
        broker.run(bridge)
        bridge.finish(FINISH)
        broker.finish(FINISH)
    finally:
        if bridge is not None:
            bridge.close()
        broker.close()
        presence.close()
    counts = ", ".join(f"{count:,} {name}" for name, count in bridge.counts.items() if count)
    _LOG.info("stopped: %s", counts or "nothing came")
