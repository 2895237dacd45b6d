"""The program that records host metrics, and the shipped recording."""

import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from examples.record_host import KINDS, PERIODS, Shape, schedule
from streamlstm.data.host import HostSampler
from streamlstm.data.options import ReadOptions
from streamlstm.data.read import read_table
from streamlstm.data.table import Table


def record(root: Path, out: Path, *options: str) -> None:
    program = root / "examples" / "record_host.py"
    subprocess.run(
        [sys.executable, program, "--seconds", "2", "--out", out, *options],
        check=True,
        timeout=60,
        capture_output=True,
        cwd=out.parent,
    )


def is_regular(table: Table) -> bool:
    """Whether every stream has a row for every tenth of a second."""
    assert table.streams is not None
    assert table.time is not None
    streams = np.array(table.streams)
    for stream in np.unique(streams):
        times = table.time[streams == stream]
        if not np.allclose(times - times[0], np.arange(len(times)) / 10):
            return False
    return True


def test_two_sittings_make_one_regular_file_and_leave_nothing_behind(root, tmp_path):
    out = tmp_path / "host.csv.gz"
    record(root, out, "--sitting", "1")
    record(root, out, "--sitting", "2", "--append", "--no-load")
    table = read_table(out, ReadOptions(stream_column="stream"))
    assert is_regular(table)
    names = [metric.name for metric in HostSampler().streams]
    assert Counter(table.streams) == {f"{s}.0/{name}": 20 for s in (1, 2) for name in names}
    assert list(tmp_path.iterdir()) == [out]


def test_the_shipped_recording_can_be_trained_on(root):
    path = root / "examples" / "data" / "host.csv.gz"
    table = read_table(path, ReadOptions(stream_column="stream"))
    assert is_regular(table)
    assert len(table) > 100_000
    assert path.stat().st_size < 1_500_000
    assert 0 <= table.values.min() <= table.values.max() <= 1


def test_the_same_seed_gives_the_same_schedule():
    assert schedule(600, 3) == schedule(600, 3) != schedule(600, 4)
    phases = schedule(600, 3)
    assert {phase.kind for phase in phases} == set(KINDS)
    assert phases[0].start == 0
    assert phases[-1].end == 600
    assert all(before.end == after.start for before, after in pairwise(phases))


@pytest.mark.parametrize("kind", ["square", "sine", "ramp", "steady", "random"])
@pytest.mark.parametrize("period", PERIODS)
def test_a_load_stays_between_its_bounds(kind, period):
    shape = Shape(kind, period, 0.3, 0.2, 0.9)
    levels = [shape.at(second / 50) for second in range(1000)]
    assert min(levels) >= 0.2
    assert max(levels) <= 0.9
    if kind in ("square", "random"):
        assert 0.2 < sum(level > 0.5 for level in levels) / len(levels) < 0.4
