import math

import psutil
import pytest

from streamlstm.data.host import HostReader, HostSampler, Metric, Reading


def readings(*steps: Reading):
    """A reader that goes through `steps`."""
    return iter(steps).__next__


def reading(time, *, cores=((0.0, 0.0),), memory=0.5, **counters) -> Reading:
    names = {name.replace("_", "-"): value for name, value in counters.items()}
    return Reading(time, list(cores), memory, names)


def test_a_load_is_the_busy_share_of_the_time_between_two_samples():
    sampler = HostSampler(
        readings(
            reading(0.0, cores=[(10.0, 20.0), (0.0, 20.0)]),
            reading(0.1, cores=[(10.03, 20.1), (0.1, 20.1)]),
        )
    )
    sample = sampler.sample()
    assert sample["cpu-0"] == pytest.approx(0.3)
    assert sample["cpu-1"] == pytest.approx(1.0)
    assert sample["memory"] == 0.5


@pytest.mark.parametrize("seconds", [0.05, 0.1, 1.7])
def test_a_rate_is_divided_by_the_time_that_passed(seconds):
    sampler = HostSampler(
        readings(
            reading(5.0, net_lo_in=1e6), reading(5.0 + seconds, net_lo_in=1e6 + 4000 * seconds)
        )
    )
    assert sampler.sample()["net-lo-in"] == pytest.approx(math.log10(1 + 4000) / 10)


def test_a_stream_keeps_its_value_when_its_counter_was_reset():
    sampler = HostSampler(
        readings(
            reading(0.0, switches=1000),
            reading(1.0, switches=1099),
            reading(2.0, switches=7),
            reading(3.0, switches=16),
        )
    )
    assert [sampler.sample()["switches"] for _ in range(3)] == pytest.approx([0.2, 0.2, 0.1])


def test_a_stream_keeps_its_value_while_its_device_is_gone():
    sampler = HostSampler(
        readings(
            reading(0.0, disk_sda_read=0),
            reading(1.0, disk_sda_read=99),
            reading(2.0),
            reading(3.0, disk_sda_read=99),
        )
    )
    assert [sampler.sample()["disk-sda-read"] for _ in range(3)] == pytest.approx([0.2, 0.2, 0.0])


def test_no_time_between_two_samples_changes_nothing():
    first = reading(1.0, cores=[(1.0, 2.0)], switches=5)
    sampler = HostSampler(readings(first, reading(1.0, cores=[(1.0, 2.0)], switches=9)))
    assert sampler.sample() == {"cpu-0": 0.0, "memory": 0.5, "switches": 0.0}


def test_a_device_that_appears_later_is_not_a_new_stream():
    sampler = HostSampler(readings(reading(0.0), reading(1.0, net_usb0_in=5)))
    names = [metric.name for metric in sampler.streams]
    assert list(sampler.sample()) == names == ["cpu-0", "memory"]


def test_this_machine_has_a_core_memory_and_values_a_model_can_take():
    sampler = HostSampler()
    sample = sampler.sample()
    assert list(sample) == [metric.name for metric in sampler.streams]
    assert {"cpu-0", "memory"} <= set(sample)
    assert all(0 <= value <= 1.5 for value in sample.values())


@pytest.mark.parametrize("failure", [None, OSError("no /proc"), NotImplementedError()])
def test_what_psutil_cannot_see_is_left_out(monkeypatch, failure):
    def blind(*_, **__):
        if failure:
            raise failure

    for name in ("disk_io_counters", "net_io_counters", "net_if_stats", "cpu_stats"):
        monkeypatch.setattr(psutil, name, blind)
    assert HostReader()().counters == {}
    assert "memory" in HostSampler().sample()


@pytest.mark.parametrize("name", ["cpu-3", "memory", "disk-sda-write", "net-eth0-in", "switches"])
@pytest.mark.parametrize("quantity", [0.0, 0.4, 37.0, 100.0])
def test_a_quantity_survives_the_way_to_the_model_and_back(name, quantity):
    metric = Metric.of(name)
    assert metric.from_model(metric.to_model(quantity)) == pytest.approx(quantity, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "quantity", "text"),
    [
        ("cpu-0", 12.34, "12.3 %"),
        ("memory", 100, "100.0 %"),
        ("switches", 1234.4, "1,234 switches/s"),
        ("net-lo-in", 0, "0 B/s"),
        ("net-lo-in", 999, "999 B/s"),
        ("net-lo-in", 1000, "1.00 kB/s"),
        ("net-lo-in", 4_561_000, "4.56 MB/s"),
        ("disk-sda-read", 45_610_000, "45.6 MB/s"),
        ("disk-sda-read", 456_100_000, "456 MB/s"),
        ("disk-sda-read", 999_600_000, "1.00 GB/s"),
    ],
)
def test_values_are_written_for_people(name, quantity, text):
    metric = Metric.of(name)
    assert metric.text(metric.to_model(quantity)) == text


def test_a_prediction_below_nothing_is_shown_as_nothing():
    assert Metric.of("net-lo-in").text(-0.01) == "0 B/s"
