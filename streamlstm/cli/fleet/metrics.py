"""The metrics of the workers on this machine, at one address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any


def serving_metrics(
    address: str | None,
    insecure: bool,
    status: Callable[[], Mapping[str, Any]],
    urls: Callable[[], Mapping[str, str]],
    health_problem: Callable[[], str | None],
    readiness_problem: Callable[[], str | None],
) -> AbstractContextManager[str]:
    """Serve the metrics of a fleet within ``with``, if there is an address for them."""
    if address is None:
        return nullcontext("")
    from streamlstm.serving.fleet_metrics import FleetCollector
    from streamlstm.serving.metrics_port import MetricsPort, serving

    port = MetricsPort(FleetCollector(status, urls), health_problem, readiness_problem)
    return serving(port, address, insecure)
