"""Exports a worker's metrics to Prometheus, read at the moment of a scrape.

A scrape reads the counters that the loop writes, and the size of the engine's table. It takes no
lock and asks the loop nothing, so it sees a worker that is busy too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from .. import __version__, wire
from .counters import Histogram
from .memory import resident_memory
from .native import layout
from .service import Service

PREFIX = "streamlstm_"

# Counters: name, help text, and place among the counters of the worker.
_COUNTERS = (
    ("messages", "Messages received.", layout.MESSAGES),
    ("answers", "Answers given to ZeroMQ.", layout.ANSWERS),
    ("publications", "Predictions published.", layout.PUBLICATIONS),
    (
        "answers_dropped",
        "Answers whose receiver had gone or did not read.",
        layout.DROPPED_ANSWERS,
    ),
    (
        "subscriber_overflows",
        "Times that a subscriber's queue was found full.",
        layout.SUBSCRIBER_OVERFLOWS,
    ),
    (
        "throttled",
        "Messages that had to wait, since their client sent too many observations.",
        layout.THROTTLED,
    ),
    ("blocks", "Blocks of observations that were stepped.", layout.BLOCKS),
    ("handed_over", "Messages that the compiled loop left to Python.", layout.HANDED_OVER),
    (
        "cut_subscribers",
        "Connections that were cut because they had too many subscriptions.",
        layout.CUT_SUBSCRIBERS,
    ),
    ("alarms", "Observations with an alarm.", layout.ALARMS),
    ("filled", "Values that were missing and filled.", layout.FILLED),
    (
        "absent",
        "Observations without a prediction, because a value has not come for too long.",
        layout.ABSENT,
    ),
    ("judged", "Values that came and had an interval forecast for them.", layout.JUDGED),
    ("covered", "Of these, values inside their widest interval.", layout.COVERED),
    ("drifts", "Times that forecasts of a stream were found to have become worse.", layout.DRIFTS),
)
# Sums of errors, likewise. The ratio of their rates is below 1 where forecasts are worth something.
_ERRORS = (
    (
        "own_error",
        "Sum of the sizes of forecasts' errors, in units of what persistence usually misses.",
        layout.OWN_ERROR,
    ),
    ("naive_error", "The same of the errors of persistence.", layout.NAIVE_ERROR),
)
# Gauges, likewise.
_GAUGES = (
    ("queue_messages", "Messages that wait in the worker.", layout.QUEUED),
    ("queue_bytes", "Bytes of the messages that wait in the worker.", layout.QUEUED_BYTES),
    ("subscriptions", "Subscriptions that exist.", layout.SUBSCRIPTIONS),
    ("topic_bytes", "Bytes of their topics.", layout.TOPIC_BYTES),
)


class WorkerCollector(Collector):
    """Reads a worker's counters, its engine and its process at each scrape.

    Parameters
    ----------
    service : Service
        The worker's service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; from any thread."""
        service = self._service
        counters, engine = service.counters, service.engine
        yield _counter("steps", "Observations applied.", engine.steps)
        for name, text, place in _COUNTERS:
            yield _counter(name, text, counters[place])
        for name, text, place in _ERRORS:
            yield _counter(name, text, counters.error(place))
        yield _counter(
            "refused_connections",
            "Connections without a key that is allowed.",
            counters.refused_connections,
        )
        yield _counter("evicted", "Streams that left memory, idle.", service.evicted)
        yield _counter("returned", "Streams that came back from the store.", service.returned)
        yield _counter("reloads", "Changes of the model.", service.reloads)
        yield self._errors()
        yield _gauge("streams", "Streams that live here.", len(engine))
        yield _gauge("capacity", "Streams that may live here.", engine.capacity)
        for name, text, place in _GAUGES:
            yield _gauge(name, text, counters[place])
        if (connections := service.connections) is not None:
            yield _gauge("connections", "Connections that are open.", connections.open)
            yield _gauge("max_connections", "Connections that may be open.", connections.limit)
            yield _counter(
                "excess_connections", "Connections beyond the maximum.", connections.refused
            )
        if service.checkpointer is not None:
            yield from _store(service.checkpointer.status())
        yield _histogram(
            "latency_seconds", "From the taking of a message to its answer.", counters.latency
        )
        yield _histogram(
            "step_seconds", "What the arithmetic of a block takes.", counters.step_time
        )
        yield _histogram("block_size", "Observations in a block.", counters.block_size)
        yield _counter("cpu_seconds", "Processor time, of all threads.", time.process_time())
        yield _gauge("resident_memory_bytes", "Memory of the process.", resident_memory())
        yield _gauge("uptime_seconds", "Since the worker was ready.", service.uptime)
        about = {
            "version": __version__,
            "model": engine.model.fingerprint,
            "backend": engine.backend,
        }
        yield InfoMetricFamily(PREFIX.rstrip("_"), "What runs here.", about)

    def _errors(self) -> Metric:
        errors = self._service.counters.as_map()["errors"]
        metric = CounterMetricFamily(
            f"{PREFIX}errors", "Messages refused, by code.", labels=["code"]
        )
        # Those that never came stand there as 0, or the first one would be no increase of anything.
        for code in dict.fromkeys((*wire.CODES, *errors)):
            metric.add_metric([code], errors.get(code, 0))
        return metric


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value)


def _store(status: dict[str, Any]) -> Iterator[Metric]:
    failing = status["failing"]
    yield _counter("store_commits", "Commits that are in the store.", status["committed"])
    yield _gauge("store_pending", "Streams that changed and are not in it yet.", status["pending"])
    yield _gauge(
        "store_absent", "Streams that are in the store and not in memory.", status["absent"]
    )
    yield _counter("store_losses", "Times that it had lost what was committed.", status["losses"])
    yield _gauge("store_failing_seconds", "For which it has failed; 0: it works.", failing or 0)


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    """Give all buckets, also those that are empty: a series that appears late loses its start."""
    within = np.cumsum(histogram.counts).tolist()
    # Here a bound counts as within; of whole numbers, two buckets may end at the same one.
    ends = [str(float(f"{end:.9g}")) for end in histogram.largest[:-1]]
    buckets = dict(zip([*ends, "+Inf"], within, strict=True))
    return HistogramMetricFamily(PREFIX + name, text, list(buckets.items()), histogram.sum)
