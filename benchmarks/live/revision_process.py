"""Measures one commit, a block at a time, as benchmarks/regressions.py asks for it.

Runs as a program in a checkout of that commit and imports the commit's packages. What the commit
does not have is left out. Reads the name of a case from each line and answers with its seconds.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import streamlstm as sl

SECONDS = 0.05  # of a block
SIZES = ((16, 8), (64, 8), (256, 32))  # H, F
BLOCK, REPEATS, RUN = 256, 64, 2_000
STEPS, TRIPS, SERVED_SECONDS = 5_000, 500, 60.0  # of a call; at most so many seconds
READY = "import sys, streamlstm as sl; sl.Engine(sl.Model.load(sys.argv[1])).step('a', [0.5] * 8)"
Measure = Callable[[], float]  # seconds of a step
Cases = Iterator[tuple[str, Callable[[], Measure]]]
opened = ExitStack()


def timed(call: Callable[[], object], steps: int = 1) -> Measure:
    """Return what measures the seconds of each of the steps that a call takes, in a block."""

    def seconds(repeats: int) -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / (repeats * steps)

    call()
    return partial(seconds, max(1, round(SECONDS / (seconds(1) * steps))))


def _model(H: int, F: int) -> Any:
    rng, layer = np.random.default_rng(H), sl.LSTM(F, H)
    weights = {n: rng.uniform(-1, 1, s) / H**0.5 for n, s in layer.parameters().items()}
    return sl.Model([layer], [weights])


def _observations(*shape: int) -> Any:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def _kernel(B: int, H: int, F: int, weights: str) -> Measure:
    from benchmarks.kernels import compiled

    n = REPEATS if B == 1 else 1
    return timed(partial(compiled(_model(H, F), _observations(B, F), weights), n), n * B)


def kernels() -> Cases:
    """Yield steps inside compiled code."""
    for B in (1, BLOCK):
        for H, F in SIZES:
            for weights in ("float32", "bfloat16", "int8"):
                name = f"kernel, B = {B}, H = {H}, {weights}"
                yield name, partial(_kernel, B, H, F, weights)


def _engine(capacity: int = 1) -> Any:
    return sl.Engine(_model(64, 8), capacity, threads=1)


def _many(ids: list[Any]) -> Measure:
    return timed(partial(_engine(BLOCK).step_many, ids, _observations(BLOCK, 8)), BLOCK)


def engine() -> Cases:
    """Yield calls from Python."""
    texts = [f"sensor-{n:06d}" for n in range(BLOCK)]
    yield "engine.step", lambda: timed(partial(_engine().step, "a", _observations(8)))
    yield "engine.step_many, text ids", partial(_many, texts)
    yield "engine.step_many, integer ids", partial(_many, list(range(BLOCK)))
    yield "engine.run", lambda: timed(partial(_engine().run, "a", _observations(RUN, 8)), RUN)
    x = _observations(1)
    yield (
        "engine.observe, detector",
        lambda: timed(partial(sl.Engine(sl.detector(), 1).observe, "a", x)),
    )


def _update(cell: str) -> Measure:
    from benchmarks.training import our_training
    from streamlstm.learn.network import RecurrentNetwork

    network = RecurrentNetwork(8, (64,), 1, cell=cell)
    network.theta[:] = np.random.default_rng(0).uniform(-0.1, 0.1, network.theta.shape)
    return timed(our_training(network, _observations(64, 64, 8), _observations(64, 64, 1))[0])


def training() -> Cases:
    """Yield updates of 64 windows of 64 steps."""
    for cell in ("lstm", "gru"):
        yield f"training update, {cell}", partial(_update, cell)


def worker() -> Cases:
    """Yield a worker under the commit's own load, over TCP on this machine."""
    from benchmarks.live.servers import Servers
    from streamlstm.loadtest import load

    socket, messages = opened.enter_context(Servers(Path.cwd()))["worker"][1:]
    send = partial(load.throughput, socket, messages, SERVED_SECONDS, STEPS)
    trips = partial(load.round_trips, socket, messages, SERVED_SECONDS, TRIPS)
    yield "worker, STEPs", lambda: timed(send, STEPS)
    yield "worker, round trip p50", lambda: lambda: float(np.median(trips())) * 1e-9


def _started(*program: str) -> Measure:
    return timed(partial(subprocess.run, [sys.executable, "-c", *program], check=True))


def startup() -> Cases:
    """Yield new processes, Python's own start included."""
    _model(64, 8).save("model.safetensors")
    yield "import streamlstm", partial(_started, "import streamlstm")
    yield "ready, kernels compiled", partial(_started, READY, "model.safetensors")


GROUPS = {group.__name__: group for group in (kernels, engine, training, worker, startup)}


@contextmanager
def noted(name: str, missing: dict[str, str]) -> Iterator[None]:
    """Note why a name is left out: whatever a commit says to what it does not know."""
    try:
        yield
    except (Exception, SystemExit) as error:
        missing[name] = f"{type(error).__name__}: {error}"


def prepared(groups: list[str]) -> tuple[dict[str, Measure], dict[str, str]]:
    """Return what can be measured, and what cannot with the reason why."""
    cases: dict[str, Measure] = {}
    missing: dict[str, str] = {}
    for group in groups:
        with noted(group, missing):
            for name, make in GROUPS[group]():
                with noted(name, missing):
                    cases[name] = make()
    return cases, missing


def main() -> None:
    """Prepare the groups that are named, say what there is, and answer until the input ends."""
    with opened:
        cases, missing = prepared(sys.argv[1:])
        print(
            json.dumps({"from": sl.__file__, "cases": list(cases), "missing": missing}), flush=True
        )
        for line in sys.stdin:
            print(cases[line.strip()](), flush=True)


if __name__ == "__main__":
    main()
