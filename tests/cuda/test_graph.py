"""Blocks that are launched as CUDA graphs, if the installed packages can record them."""

import threading

import numpy as np
import pytest
from numba import cuda

from streamlstm import GRU, Dense, Engine
from streamlstm.backends.cuda import backend as cuda_backend
from streamlstm.backends.cuda import graph
from streamlstm.backends.cuda.backend import CudaBackend
from streamlstm.backends.plan import initial_row
from tests.contract.models import random_model

MODEL = random_model([GRU(3, 5, initial_state=True), Dense(5, 2)], scaled=True)
pytestmark = pytest.mark.skipif(
    not graph.AVAILABLE, reason="needs cuda-bindings and a driver: make test-cuda"
)


def stepped(backend: CudaBackend, counts: list[int]) -> bytes:
    """Step blocks of so many streams; return all predictions and rows."""
    rng, most = np.random.default_rng(0), max(counts)
    rows, answers = backend.make_rows(most, initial_row(MODEL)), []
    for count in counts:
        X = rng.standard_normal((count, 3)).astype(np.float32)
        Y = np.empty((count, 2), np.float32)
        backend.step_block(rows, rng.permutation(most)[:count], X, Y, np.ones(count, np.uint64))
        answers.append(Y.tobytes())
    return b"".join(answers) + rows[np.arange(most)].tobytes()


def test_predictions_and_states_are_the_same_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_backend, "CHUNK", 200)
    counts = [1, 64, 65, 3, 500, 129, 1, 500]  # several rooms, and both buffers of one
    with_graphs, without = CudaBackend(MODEL), CudaBackend(MODEL, graphs=False)
    assert with_graphs.graphs
    assert not without.graphs
    assert stepped(with_graphs, counts) == stepped(without, counts)
    # Once more, on rows that lie elsewhere: what was recorded for the first is not replayed.
    assert stepped(with_graphs, counts) == stepped(without, counts)


def test_engines_do_not_share_what_was_recorded() -> None:
    first, second, host = (Engine(MODEL, 4, name) for name in ("cuda", "cuda", "cpu"))
    for n, x in enumerate(np.random.default_rng(1).standard_normal((6, 3))):
        for engine in (first, second):
            engine.step("a", x, seq=n + 1)
        expected = host.step("a", x, seq=n + 1)
    for engine in (first, second):
        assert np.allclose(engine.last_prediction("a", 6), expected, atol=5e-6)


def test_others_may_use_the_default_stream_while_a_graph_is_recorded() -> None:
    engine = Engine(MODEL, 4, "cuda")
    engine.step("a", [1, 2, 3])
    read: list[object] = []

    def work() -> None:
        thread = threading.Thread(target=lambda: read.append(engine.export_stream("a")))
        thread.start()
        thread.join()

    with cuda.gpus[0]:
        graph.Graph(graph.make_stream(), work)
    assert read == [engine.export_stream("a")]


def test_a_driver_that_refuses_costs_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(stream: object, work: object) -> None:
        raise RuntimeError("the CUDA driver says CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")

    monkeypatch.setattr("streamlstm.backends.cuda.buffers.Graph", refuse)
    with pytest.warns(RuntimeWarning, match=r"CUDA graphs are not used.*CAPTURE_UNSUPPORTED"):
        backend = CudaBackend(MODEL)
    assert not backend.graphs
    assert stepped(backend, [5, 70]) == stepped(CudaBackend(MODEL, graphs=False), [5, 70])


def test_a_graph_that_does_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        def __init__(self, stream: object, work: object) -> None: ...

        def launch(self) -> None: ...

    monkeypatch.setattr("streamlstm.backends.cuda.buffers.Graph", Nothing)
    with pytest.warns(RuntimeWarning, match="does not give what stepping without gives"):
        backend = CudaBackend(MODEL)
    assert not backend.graphs
