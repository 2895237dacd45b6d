"""Windows, convolutions and branches in state rows on a device: they move to the host and back."""

import numpy as np
import pytest

from streamlstm import LSTM, Bidirectional, Conv1D, Dense, Engine, Model, Parallel, Pool
from tests.contract.models import random_model, windowed

MODELS = {
    "stepped": windowed([LSTM(3, 4), Dense(4, 2)], 3, "answer"),
    "over rows": windowed([Bidirectional(3, LSTM(3, 2)), Pool(4), Dense(4, 2)], 3, "answer"),
    "without a window": random_model([Parallel(3, [[Conv1D(3, 3, 3, pad_left=2)], [LSTM(3, 3)]])]),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_streams_go_on_where_they_move(model: Model) -> None:
    X = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    device, host = Engine(model, 4, "cuda"), Engine(model, 4, "cpu", threads=1)
    for n, x in enumerate(X[:5], start=1):
        shown = device.explain("a", x).prediction
        assert np.allclose(device.step("a", x, seq=n), shown, atol=5e-6)
        assert np.allclose(host.step("a", x, seq=n), shown, atol=5e-6)
    device.import_stream("b", host.export_stream("a"))
    host.import_stream("b", device.export_stream("a"))
    for x in X[5:]:
        Y = device.step_many(["a", "b"], np.stack([x, x]))
        assert np.allclose(host.step_many(["a", "b"], np.stack([x, x])), Y, atol=5e-6)
    device.reset("b")
    new = device.step_many(["b", "new"], X[:2].repeat(2, 0)[:2])
    assert np.array_equal(new[0], new[1])
