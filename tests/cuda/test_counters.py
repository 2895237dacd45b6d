"""Counters on a device: their changes are taken there, from the state row."""

import numpy as np

from streamlstm import Engine
from tests.unit.test_differences import STAGES, network, series


def test_counters_are_stepped_as_by_the_reference() -> None:
    model, X = network(STAGES["all"]), series(1, gaps=True)
    device, expected = (Engine(model, capacity=4, backend=name) for name in ("cuda", "reference"))
    for n in range(10):
        given = device.step_many(["a", "b"], X[[n, n + 3]], seqs=[n + 1, n + 1])
        np.testing.assert_allclose(
            given, expected.step_many(["a", "b"], X[[n, n + 3]]), rtol=1e-12, atol=1e-2
        )
    np.testing.assert_array_equal(device.last_prediction("a", 10), given[0])
    device.import_stream("c", device.export_stream("a"))
    x = X[10:11]
    np.testing.assert_array_equal(device.step_many(["c"], x), device.step_many(["a"], x))
