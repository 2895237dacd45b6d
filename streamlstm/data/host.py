"""Samples this machine: load, memory, disk and network traffic, context switches.

Every stream has values between 0 and about 1, so that one small model predicts all of them: a load
is a fraction, and a rate of ``r`` units per second is ``log10(1 + r) / 10``, which maps 0 to 0, a
kilobyte per second to 0.3 and ten gigabytes per second to 1.
"""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ..errors import DataError

SAMPLES_PER_SECOND = 10
"""Sampling rate of the series that the shipped model was trained on."""

_NOT_PHYSICAL = ("loop", "ram", "zram", "dm-", "md", "sr", "fd")
_BYTE_UNITS = ("B/s", "kB/s", "MB/s", "GB/s", "TB/s")


@dataclass(frozen=True)
class Metric:
    """One stream: its name, its unit, and the conversion of its values.

    Parameters
    ----------
    name : str
        The stream id: ``cpu-0``, ``memory``, ``disk-sda-read``, ``net-eth0-in``, ``switches``.
    unit : str
        Unit of the quantity: ``"%"``, ``"B/s"`` or ``"switches/s"``.
    """

    name: str
    unit: str

    @classmethod
    def of(cls, name: str) -> "Metric":
        """Return the metric of a stream by its name."""
        if name == "memory" or name.startswith("cpu-"):
            return cls(name, "%")
        return cls(name, "switches/s" if name == "switches" else "B/s")

    def to_model(self, quantity: float) -> float:
        """Convert a quantity q in `unit` to a model value: ``q / 100`` or ``log10(1 + q) / 10``."""
        if self.unit == "%":
            return quantity / 100
        return math.log10(1 + max(quantity, 0.0)) / 10

    def from_model(self, value: float) -> float:
        """Convert a model value to a quantity in `unit`; a rate below 0 is 0."""
        if self.unit == "%":
            return value * 100
        return max(10 ** (10 * value) - 1, 0.0)

    def text(self, value: float) -> str:
        """Format a model value: ``12.3 %``, ``4.56 MB/s``, ``1,234 switches/s``."""
        quantity = self.from_model(value)
        if self.unit == "%":
            return f"{quantity:.1f} %"
        if self.unit == "switches/s":
            return f"{quantity:,.0f} switches/s"
        power = 0
        while quantity >= 999.5 and power < len(_BYTE_UNITS) - 1:
            quantity /= 1000
            power += 1
        digits = max(0, 2 - int(math.log10(max(quantity, 1)))) if power else 0
        return f"{quantity:.{digits}f} {_BYTE_UNITS[power]}"


@dataclass(frozen=True)
class Reading:
    """The counters of the machine at one moment.

    Parameters
    ----------
    time : float
        Monotonic seconds.
    cores : list of (float, float)
        Each core's busy and total seconds since the machine started.
    memory : float
        Fraction of memory in use, 0..1.
    counters : dict of str to float
        Every other stream's running total: bytes, or context switches.
    """

    time: float
    cores: list[tuple[float, float]]
    memory: float
    counters: dict[str, float]


class HostReader:
    """Reads the counters of this machine with psutil; those that psutil lacks are left out.

    Disks and interfaces are chosen once: physical disks (no partitions, no loop devices) and the
    network interfaces that are up, loopback included.
    """

    def __init__(self) -> None:
        self._disks = [name for name in _disk_counters() if _is_physical(name)]
        states = _call_psutil(psutil.net_if_stats)
        self._interfaces = [
            name for name in _net_counters() if name not in states or states[name].isup
        ]

    def __call__(self) -> Reading:
        """Read all counters; raise DataError where the system does not give those of all hosts."""
        counters: dict[str, float] = {}
        disks, interfaces = _disk_counters(), _net_counters()
        for name in self._disks:
            if name in disks:
                counters[f"disk-{name}-read"] = disks[name].read_bytes
                counters[f"disk-{name}-write"] = disks[name].write_bytes
        for name in self._interfaces:
            if name in interfaces:
                counters[f"net-{name}-in"] = interfaces[name].bytes_recv
                counters[f"net-{name}-out"] = interfaces[name].bytes_sent
        switches = _call_psutil(psutil.cpu_stats)
        if switches:
            counters["switches"] = switches.ctx_switches
        try:
            memory, cores = psutil.virtual_memory(), psutil.cpu_times(percpu=True)
        except (OSError, RuntimeError, psutil.Error) as error:
            raise DataError(f"the counters of this machine cannot be read: {error}") from error
        return Reading(
            time=time.monotonic(),
            cores=[_busy_and_total(core) for core in cores],
            memory=1 - memory.available / memory.total,
            counters=counters,
        )


class HostSampler:
    """Converts the counters to one value for each stream, averaged since the last sample.

    Rates are divided by the time that passed, so irregular sampling does not distort them. A stream
    repeats its last value where a counter was reset, a device is missing or no time has passed.

    Parameters
    ----------
    read : callable, optional
        Returns a `Reading`; by default a `HostReader`.
    """

    def __init__(self, read: Callable[[], Reading] | None = None) -> None:
        self._read = read or HostReader()
        self._last = self._read()
        names = [f"cpu-{core}" for core in range(len(self._last.cores))]
        names += ["memory", *self._last.counters]
        self._metrics = {name: Metric.of(name) for name in names}
        self._values = dict.fromkeys(names, 0.0)

    @property
    def streams(self) -> list[Metric]:
        """All streams, in the order of `sample`."""
        return list(self._metrics.values())

    def sample(self) -> dict[str, float]:
        """Return the value of every stream since the last call.

        Returns
        -------
        dict of str to float
            Stream name to model value: a fraction, or ``log10(1 + rate) / 10``.

        Raises
        ------
        DataError
            If the counters cannot be read now; the next call may succeed.
        """
        now, last = self._read(), self._last
        self._values["memory"] = now.memory
        for core, ((busy, total), (busy0, total0)) in enumerate(
            zip(now.cores, last.cores, strict=False)
        ):
            if total > total0 and busy >= busy0:
                self._values[f"cpu-{core}"] = min((busy - busy0) / (total - total0), 1.0)
        seconds = now.time - last.time
        for name, count in now.counters.items():
            before = last.counters.get(name)
            if name in self._values and before is not None and count >= before and seconds > 0:
                self._values[name] = self._metrics[name].to_model((count - before) / seconds)
        # A counter that is missing keeps its last value: its device may come back.
        self._last = Reading(now.time, now.cores, now.memory, last.counters | now.counters)
        return dict(self._values)


def _busy_and_total(core: Any) -> tuple[float, float]:
    """Return the busy and the total seconds of a core, as `psutil.cpu_percent` counts them."""
    # Linux counts a guest's time in user time as well.
    total = sum(core) - getattr(core, "guest", 0.0) - getattr(core, "guest_nice", 0.0)
    return total - core.idle - getattr(core, "iowait", 0.0), total


def _is_physical(disk: str) -> bool:
    """Return whether a disk is neither a partition nor a device in memory."""
    if sys.platform.startswith("linux") and Path("/sys/block").is_dir():
        return Path("/sys/block", disk.replace("/", "!"), "device").exists()
    return not disk.startswith(_NOT_PHYSICAL)


def _disk_counters() -> Any:
    return _call_psutil(psutil.disk_io_counters, perdisk=True, nowrap=False)


def _net_counters() -> Any:
    return _call_psutil(psutil.net_io_counters, pernic=True, nowrap=False)


def _call_psutil(call: Callable[..., Any], **options: Any) -> Any:
    """Call psutil; return {} where it raises or returns None, as in a container."""
    try:
        return call(**options) or {}
    except (OSError, RuntimeError, NotImplementedError, AttributeError, psutil.Error):
        return {}
