"""One address for the metrics of a fleet: every sample of every worker, with its name."""

from __future__ import annotations

import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from streamlstm import LSTM, Dense, Engine
from streamlstm.serving.fleet_metrics import FleetCollector
from streamlstm.serving.metrics_port import MetricsPort, serving, serving_metrics
from streamlstm.serving.service import Service

from ..contract.models import random_model

MODEL = random_model([LSTM(2, 5), Dense(5, 3)])


def scraped(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    with urllib.request.urlopen(url, timeout=20) as response:
        text = response.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_all_workers_speak_through_one_address() -> None:
    services = [Service(Engine(MODEL, 100, threads=1)) for _ in range(2)]
    for n, service in enumerate(services):
        service.engine.step("a", [n, n])
        service.counters.latency.add(2_000_000)
    status: dict[str, Any] = {
        "version": 7,
        "moving": 3,
        "workers": [{"name": f"w{n}", "partitions": 512, "restarts": n} for n in range(3)],
    }
    with (
        serving_metrics(services[0], "127.0.0.1:*") as first,
        serving_metrics(services[1], "127.0.0.1:*") as second,
    ):
        # w2 has just ended: nobody listens there any more
        with serving_metrics(services[1], "127.0.0.1:*") as gone:
            pass
        collector = FleetCollector(lambda: status, lambda: {"w0": first, "w1": second, "w2": gone})
        port = MetricsPort(collector, lambda: None, lambda: "it starts")
        with serving(port, "127.0.0.1:*") as url:
            found = scraped(url)
        own = scraped(first)
    for (name, labels), value in own.items():
        if not name.endswith(("_seconds_total", "_bytes", "uptime_seconds", "messages_total")):
            assert found[name, labels | {("worker", "w0")}] == value, name
    for n in range(3):
        worker = frozenset({("worker", f"w{n}")})
        assert found["streamlstm_worker_up", worker] == (n < 2)
        assert found["streamlstm_worker_restarts", worker] == n
        assert (("streamlstm_steps_total", worker) in found) == (n < 2)
    assert found["streamlstm_fleet_workers", frozenset()] == 3
    assert found["streamlstm_fleet_moving", frozenset()] == 3
