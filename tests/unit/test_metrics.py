"""Metrics for Prometheus: their values, and where they may be served."""

import math
import socket as posix
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.errors import EndpointError
from streamlstm.serving.counters import Counters
from streamlstm.serving.metrics import WorkerCollector
from streamlstm.serving.metrics_port import serving_metrics
from streamlstm.serving.native import layout
from streamlstm.serving.service import Service

from ..contract.models import random_model

MODEL = random_model([LSTM(2, 5), Dense(5, 3)])

Samples = dict[tuple[str, str | None], float]


def step(stream: str, x: list[float], seq: int = 0) -> bytes:
    return wire.encode(wire.Step(stream, seq, wire.to_floats(x)))


def busy_service() -> Service:
    """A service whose every number is another one."""
    service = Service(Engine(MODEL, 100, threads=1))
    service.handle([step(f"s{n}", [n, 1]) for n in range(7)])
    service.handle([step("s0", [1, 1], seq=1), step("s0", [1, 1], seq=3), step("s1", [1, 2, 3])])
    for n, place in enumerate(
        (
            layout.MESSAGES,
            layout.ANSWERS,
            layout.PUBLICATIONS,
            layout.DROPPED_ANSWERS,
            layout.SUBSCRIBER_OVERFLOWS,
            layout.BUSY,
            layout.HANDED_OVER,
            layout.QUEUED,
            layout.QUEUED_BYTES,
            layout.SUBSCRIPTIONS,
            layout.ALARMS,
            layout.FILLED,
            layout.ABSENT,
            layout.JUDGED,
            layout.COVERED,
            layout.DRIFTS,
            layout.OWN_ERROR,
            layout.NAIVE_ERROR,
        )
    ):
        service.counters.add(place, 99 + n)
    for nanoseconds in (1, 900, 2**20, 2**60):
        service.counters.latency.add(nanoseconds)
    return service


def registry(service: Service) -> CollectorRegistry:
    made = CollectorRegistry(auto_describe=True)
    made.register(WorkerCollector(service))
    return made


def flat(families: Iterable[Metric]) -> Samples:
    """All samples, by name and what tells them apart within it."""
    return {
        (sample.name, sample.labels.get("code") or sample.labels.get("le")): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_scrape_shows_the_counters() -> None:
    service = busy_service()
    service.counters.refused_connections = 3
    text = generate_latest(registry(service)).decode()
    samples = flat(text_string_to_metric_families(text))
    counters, said = service.counters, service.info()["counters"]
    expected = {
        "steps_total": 8,
        "messages_total": 99,
        "answers_total": 100,
        "publications_total": 101,
        "answers_dropped_total": 102,
        "subscriber_overflows_total": 103,
        "blocks_total": 2,
        "handed_over_total": 105,
        "refused_connections_total": 3,
        "queue_messages": 106,
        "queue_bytes": 107,
        "subscriptions": 108,
        "alarms_total": 109,
        "filled_total": 110,
        "absent_total": 111,
        "judged_total": 112,
        "covered_total": 113,
        "drifts_total": 114,
        "own_error_total": 115e-6,
        "naive_error_total": 116e-6,
        "streams": 7,
        "capacity": 100,
        "latency_seconds_count": 4,
        "latency_seconds_sum": counters.latency.sum,
        "step_seconds_count": 2,
        "step_seconds_sum": counters.step_time.sum,
        "block_size_count": 2,
        "block_size_sum": 8,
        "info": 1,
    }
    assert expected == {name: samples[f"streamlstm_{name}", None] for name in expected}
    errors = {code: n for (name, code), n in samples.items() if name == "streamlstm_errors_total"}
    assert set(errors) == set(wire.CODES)
    assert {code: n for code, n in errors.items() if n} == said["errors"]
    assert said["errors"] == {"gap": 1, "bad-shape": 1, "busy": 104}
    assert samples["streamlstm_resident_memory_bytes", None] > 2**20
    assert 0 < samples["streamlstm_uptime_seconds", None] <= service.uptime
    assert 0 < samples["streamlstm_cpu_seconds_total", None] <= time.process_time()
    assert {name.partition("_")[0] for name, _ in samples} == {"streamlstm"}


def test_version_model_and_backend_are_exported() -> None:
    service = busy_service()
    service.counters.refused_connections = 3
    text = generate_latest(registry(service)).decode()
    (info,) = (f for f in text_string_to_metric_families(text) if f.name == "streamlstm_info")
    about = service.info()
    assert info.samples[0].labels == {
        "version": about["version"],
        "model": about["model"]["fingerprint"],
        "backend": "cpu",
    }


def test_the_newer_format_is_valid_too() -> None:
    made = registry(busy_service())
    families = openmetrics_parser.text_string_to_metric_families(
        openmetrics.generate_latest(made).decode()
    )
    assert flat(families)["streamlstm_steps_total", None] == 8
    (steps,) = made.restricted_registry(["streamlstm_steps_total"]).collect()
    assert steps.samples[0].value == 8


@pytest.mark.parametrize(
    ("name", "unit"), [("latency_seconds", 1e-9), ("step_seconds", 1e-9), ("block_size", 1)]
)
def test_a_bucket_holds_what_is_at_most_its_bound(name: str, unit: float) -> None:
    service = Service(Engine(MODEL, 100, threads=1))
    attribute = {"latency_seconds": "latency", "step_seconds": "step_time"}.get(name, name)
    values = [1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 255, 257, 511, 513, 16383, 16385, 10**12]
    if name == "block_size":
        values += [16, 512, 16384]  # where a bucket begins; no one asks this of a nanosecond
    for value in values:
        getattr(service.counters, attribute).add(value)
    samples = flat(text_string_to_metric_families(generate_latest(registry(service)).decode()))
    within = {
        float(le): n
        for (full, le), n in samples.items()
        if full == f"streamlstm_{name}_bucket" and le is not None
    }
    assert math.inf in within
    assert len(within) >= layout.BUCKETS - 2
    for bound, count in within.items():
        assert count == sum(value * unit <= bound for value in values), bound


def test_no_error_that_the_loop_counts_meanwhile_disturbs_a_scrape() -> None:
    service = Service(Engine(MODEL, 100, threads=1))
    done = threading.Event()

    def count() -> None:
        for n in range(20_000):
            service.counters.errors[f"code-{n}"] += 1
        done.set()

    loop = threading.Thread(target=count)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns in the middle of everything
    try:
        loop.start()
        while not done.is_set():
            service.counters.as_map()
    finally:
        sys.setswitchinterval(before)
        loop.join()


def test_metrics_are_served_until_the_end() -> None:
    service, threads = busy_service(), threading.active_count()
    with serving_metrics(service, "127.0.0.1:*") as url:
        assert url.endswith("/metrics")
        with urllib.request.urlopen(url, timeout=20) as response:
            text = response.read().decode()
        assert flat(text_string_to_metric_families(text))["streamlstm_steps_total", None] == 8
    host, port = url.split("/")[2].split(":")
    with pytest.raises(ConnectionRefusedError):
        posix.create_connection((host, int(port)), timeout=20)
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("0.0.0.0:9464", "--insecure"),
        ("192.0.2.1:9464", "--insecure"),
        ("[::]:9464", "--insecure"),
        ("no-such-host.invalid:0", "neither an address nor a network interface"),
        ("9464", "expected HOST:PORT"),
        (":9464", "expected HOST:PORT"),
        ("", "expected HOST:PORT"),
        ("::1:9464", "expected HOST:PORT"),
        ("http://127.0.0.1:9464", "expected HOST:PORT"),
        ("127.0.0.1:", "port must be 1 to 65535"),
        ("127.0.0.1:65536", "port must be 1 to 65535"),
        ("127.0.0.1:port", "got port"),
        ("127.0.0.1:-1", "port must be"),
    ],
)
def test_addresses_that_are_refused(address: str, said: str) -> None:
    with (
        pytest.raises(EndpointError) as caught,
        serving_metrics(Service(Engine(MODEL, 100, threads=1)), address),
    ):
        pass
    assert str(caught.value).startswith(f"--metrics {address}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("127.0.0.1:0", "127.0.0.1"),
        ("127.0.0.2:*", "127.0.0.2"),
        ("localhost:*", "127.0.0.1"),
        ("lo:*", "127.0.0.1"),
        ("[::1]:*", "[::1]"),
    ],
)
def test_addresses_that_are_allowed(address: str, host: str) -> None:
    with serving_metrics(Service(Engine(MODEL, 100, threads=1)), address) as url:
        assert url.startswith(f"http://{host}:")


def test_beyond_loopback_only_when_insecure() -> None:
    service = Service(Engine(MODEL, 100, threads=1))
    with serving_metrics(service, "0.0.0.0:*", insecure=True) as url:
        assert url.startswith("http://0.0.0.0:")
    with (
        pytest.raises(EndpointError, match="not an address of this machine"),
        serving_metrics(service, "192.0.2.1:9464", insecure=True),
    ):
        pass
    with (
        pytest.raises(EndpointError, match="no such host is neither an address"),
        serving_metrics(service, "no such host:9464", insecure=True),
    ):
        pass


def test_a_port_that_is_taken() -> None:
    with posix.create_server(("127.0.0.1", 0)) as owner:
        address = f"127.0.0.1:{owner.getsockname()[1]}"
        with (
            pytest.raises(EndpointError, match=f"--metrics {address}: is taken") as caught,
            serving_metrics(Service(Engine(MODEL, 100, threads=1)), address),
        ):
            pass
    assert "--metrics '127.0.0.1:*'" in str(caught.value)


def test_a_block_is_counted_with_its_time() -> None:
    service = Service(Engine(MODEL, 100, threads=1))
    counters = service.counters
    service.handle([step(f"s{n}", [n, 1]) for n in range(5)])
    assert (counters[layout.BLOCKS], counters.block_size.sum) == (1, 5)
    # one of three is refused: the others are stepped apart from it
    service.handle([step("a", [1, 1], seq=1), step("b", [1, 1], seq=9), step("c", [1, 1])])
    assert (counters[layout.BLOCKS], counters.block_size.sum) == (2, 7)
    service.handle([step("b", [1, 1], seq=9)])  # nothing is left to step
    assert counters[layout.BLOCKS] == counters.step_time.counts.sum() == 2
    assert 0 < counters.step_time.sum < service.uptime


def test_info_has_the_counters_of_a_worker() -> None:
    service = busy_service()
    info = service.info()
    assert info["queue"] == {"messages": 105, "bytes": 0, "peak": 0}  # but for itself
    assert info["subscriptions"] == 108
    assert info["memory"] > 2**20
    assert 0 < info["cpu"] <= time.process_time()
    assert set(info["histograms"]) == {"latency", "step_time", "block_size"}
    for name, shown in info["histograms"].items():
        histogram = getattr(service.counters, name)
        assert shown["bounds"] == histogram.bounds.tolist()
        assert shown["bounds"][-1] == math.inf
        assert shown["counts"] == histogram.counts.tolist()
        assert shown["sum"] == histogram.sum
    assert len(wire.encode(wire.Done(wire.Kind.INFO, None, info))) < 4096


def test_an_empty_histogram_is_empty() -> None:
    shown = Counters().histograms()["latency"]
    assert (sum(shown["counts"]), shown["sum"]) == (0, 0)


def status_of(url: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url.replace("/metrics", path)) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_health_is_that_of_the_loop_and_readiness_that_of_the_service() -> None:
    service = Service(Engine(MODEL, 100, threads=1))
    with serving_metrics(service, "127.0.0.1:*") as url:
        assert status_of(url, "/healthz") == (200, "ok\n")
        assert status_of(url, "/ready") == (503, "the worker does not serve, or stops\n")
        service.serving = True
        assert status_of(url, "/ready") == (200, "ok\n")
        service.turned -= 60
        for path in ("/healthz", "/ready"):
            status, said = status_of(url, path)
            assert (status, said[:24]) == (503, "the loop has not turned ")
