"""How the worker is, or each worker of a fleet: what INFO says, and rates of the last interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...serving.worker_stats import Rates, Snapshot, sum_gauges, sum_rates
from .board import number


class Health:
    """Makes what the page shows of replies to INFO, one after another."""

    def __init__(self) -> None:
        self._last: dict[str, Snapshot] = {}

    def take(self, info: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a reply says, of all workers together and of each.

        Raises
        ------
        ProtocolError
            If it is that of another version.
        """
        infos = info.get("workers", {"": info})
        now = {name: Snapshot.from_info(each) for name, each in infos.items()}
        rates = {name: each.since(self._last.get(name)) for name, each in now.items()}
        self._last = now
        workers = [
            {"name": name, **_said(each, rates[name]), **_store(infos[name])}
            for name, each in now.items()
        ]
        gauges = sum_gauges([*now.values()])
        known = [each for each in rates.values() if each is not None]
        assert gauges is not None
        return {
            "version": info["version"],
            "fingerprint": info["model"]["fingerprint"],
            "coverage": number(gauges.coverage),
            "error_ratio": number(gauges.error_ratio),
            **_numbers(gauges, sum_rates(known)),
            "workers": workers,
        }


def _said(snapshot: Snapshot, rates: Rates | None) -> dict[str, Any]:
    return {
        "pid": snapshot.pid,
        "uptime": number(snapshot.uptime),
        **_numbers(snapshot.gauges, rates),
    }


def _numbers(gauges: Any, rates: Rates | None) -> dict[str, Any]:
    found = {
        "streams": gauges.streams,
        "capacity": gauges.capacity,
        "queue": gauges.queue,
        "memory": gauges.memory,
        "alarms": gauges.alarms,
        "overflows": gauges.overflows,
    }
    if rates is None:
        return found
    return found | {
        "steps": number(rates.steps),
        "busy": number(rates.busy),
        "errors": number(rates.errors),
        "p50": number(rates.latency.quantile(0.5)),
        "p99": number(rates.latency.quantile(0.99)),
        "cpu": number(rates.cpu),
    }


def _store(info: Mapping[str, Any]) -> dict[str, Any]:
    store = info["store"]
    return {} if store is None else {"store": store["kind"], "store_error": store["error"]}
