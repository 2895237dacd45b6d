"""Histograms of a worker: every number falls between the bounds of its bucket."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlstm.serving.counters import Counters, bucket_of, quantile
from streamlstm.serving.native import layout


@pytest.mark.parametrize("name", ["latency", "step_time", "block_size"])
@given(value=st.integers(0, 2**50))
def test_a_number_falls_between_its_bounds(name: str, value: int) -> None:
    histogram = getattr(Counters(), name)
    histogram.add(value)
    bucket = int(np.flatnonzero(histogram.counts)[0])
    seconds = value if name == "block_size" else value * 1e-9
    assert histogram.counts.sum() == 1
    assert histogram.sum == pytest.approx(seconds)
    assert seconds < histogram.bounds[bucket]
    assert bucket == 0 or seconds >= histogram.bounds[bucket - 1] * (1 - 1e-12)


def test_a_quantile_is_the_bound_below_which_so_many_fell() -> None:
    histogram = Counters().block_size
    assert np.isnan(quantile(histogram.bounds, histogram.counts, 0.5))
    for value in [1] * 98 + [100, 5000]:
        histogram.add(value)
    bounds, counts = histogram.bounds, histogram.counts
    assert quantile(bounds, counts, 0.5) == bounds[bucket_of(1, 0)]
    assert quantile(bounds, counts, 0.99) == bounds[bucket_of(100, 0)]
    assert quantile(bounds, counts, 1.0) == bounds[bucket_of(5000, 0)]


def test_busy_is_an_error_among_errors() -> None:
    counters = Counters()
    counters.errors["gap"] += 2
    assert counters.as_map()["errors"] == {"gap": 2}
    counters.add(layout.BUSY, 3)
    assert counters.as_map()["errors"] == {"gap": 2, "busy": 3}
    assert counters.refused() == 5
