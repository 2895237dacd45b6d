"""Metrics of a fleet: those of all workers, each with a label that names it, at one address.

Each worker serves its own on loopback; a scrape of the fleet reads them all at once. A worker that
does not answer is missing from that scrape, with ``streamlstm_worker_up`` 0, and delays it by a
second at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.request import ProxyHandler, build_opener

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from .metrics import PREFIX

TIMEOUT_SECONDS = 1.0
LABEL = "worker"

# Of the supervisor, for each worker: name, help text and key in the status of a fleet.
_OF_WORKERS = (
    ("worker_partitions", "Partitions of the worker.", "partitions"),
    ("worker_restarts", "Times that the worker was started again.", "restarts"),
)


class FleetCollector(Collector):
    """Reads the metrics of all workers at each scrape.

    Parameters
    ----------
    status : callable
        Returns the status of the fleet; called from another thread.
    urls : callable
        Returns where each worker serves its metrics, by name; likewise.
    """

    def __init__(
        self, status: Callable[[], Mapping[str, Any]], urls: Callable[[], Mapping[str, str]]
    ) -> None:
        self._status, self._urls = status, urls

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: which metrics there are is known when workers answer."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the fleet, then those of its workers."""
        status, urls = self._status(), dict(self._urls())
        with ThreadPoolExecutor(max(min(len(urls), 16), 1)) as pool:
            texts = dict(zip(urls, pool.map(_read, urls.values()), strict=True))
        yield _gauge("fleet_workers", "Workers of the fleet.", len(status["workers"]))
        yield _gauge("fleet_moving", "Partitions that are on their way.", status["moving"])
        yield _gauge("fleet_table_version", "Version of the table.", status["version"])
        up = GaugeMetricFamily(f"{PREFIX}worker_up", "1: it answered the scrape.", labels=[LABEL])
        for worker in status["workers"]:
            up.add_metric([worker["name"]], float(texts.get(worker["name"]) is not None))
        yield up
        for name, text, key in _OF_WORKERS:
            metric = GaugeMetricFamily(PREFIX + name, text, labels=[LABEL])
            for worker in status["workers"]:
                metric.add_metric([worker["name"]], worker[key])
            yield metric
        yield from merged({name: text for name, text in texts.items() if text is not None})


def merged(texts: Mapping[str, str]) -> Iterator[Metric]:
    """Yield the metrics of workers, from the texts that they serve, with labels of their names."""
    found: dict[str, Metric] = {}
    for worker, text in texts.items():
        for metric in text_string_to_metric_families(text):
            into = found.setdefault(
                metric.name, Metric(metric.name, metric.documentation, metric.type)
            )
            for sample in metric.samples:
                into.add_sample(sample.name, {**sample.labels, LABEL: worker}, sample.value)
    yield from found.values()


def _read(url: str) -> str | None:
    """Return what a worker serves; None if it does not answer."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=TIMEOUT_SECONDS) as response:
            text: str = response.read().decode()
    except (OSError, ValueError):
        return None
    return text


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value)
