"""What does the online stage cost a step? Compiled code, one stream and a block of 256.

    python -m benchmarks.stage_cost [--json FILE]

An LSTM of 32 units with a dense head that forecasts its one input a step ahead; a different
observation in every step. Times are those of one stream's step beyond the same model's without a
stage, in the same run, interleaved; bytes are those of its state row. Where there is a calendar,
observations come with their time, a minute apart: the network has four inputs more, and anomaly
scores have a calendar model that learns. "worker" has the rate of one
STEP a message with intervals and anomaly scores, against the same worker without, and the time of
the processor that the worker takes for a message.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zmq
from numba import int64

from streamlstm import LSTM, Dense, Model, Online, wire
from streamlstm.backends.cpu import CpuBackend
from streamlstm.backends.plan import initial_row
from streamlstm.kernels import layout
from streamlstm.kernels.cache import kernel
from streamlstm.kernels.pointers import call_at, int64s_at
from streamlstm.loadtest import load
from streamlstm.loadtest.messages import Messages, pack
from streamlstm.serving.extras import model_extras

from .harness import Row, interleaved, parser, report, steps
from .live import processes

H, BLOCK, STEPS = 32, 256, 512
TOLD = Online(fill="predict", intervals=(0.9,), anomaly=True)
ALL = replace(TOLD, scale="stream", adapt="rls")
CALENDAR = ("hour", "weekday")
STAGES = {
    "empty": Online(),
    "fill": Online(fill="predict"),
    "calendar": Online(calendar=CALENDAR, zone="Europe/Zurich"),
    "scaling by stream": Online(scale="stream"),
    "interval": Online(intervals=(0.9,)),
    "anomaly": Online(anomaly=True),
    "fill, interval, anomaly": TOLD,
    "and calendar": replace(TOLD, calendar=CALENDAR, zone="Europe/Zurich"),
    "mix": Online(adapt="mix"),
    "adaptation": Online(adapt="rls"),
    "all but calendar": ALL,
    "all": replace(ALL, calendar=CALENDAR, zone="Europe/Zurich"),
}
TARGETS = {  # ns that one stream's step may take longer, and times as long as a plain block
    "fill, interval, anomaly": (350, 1.3),
    "and calendar": (350, 1.3),
    "all but calendar": (900, 2.0),
    "all": (900, 2.0),
}
WORKER_TARGET = 0.85
TURN = 0.4  # seconds of each worker


@kernel()
def _walk(n: int, function: int, task: int, B: int, times: int) -> None:
    """Step B streams n times, with the next observations and, unless ``times`` is 0, times."""
    fields = int64s_at(task, layout.TASK)
    start = fields[layout.TASK_X]
    for step in range(n):
        fields[layout.TASK_TIMES] = times + 8 * B * step if times != 0 else 0
        call_at(function, task, int64(0), B, int64(0))
        fields[layout.TASK_X] += 4 * B
    fields[layout.TASK_X], fields[layout.TASK_TIMES] = start, 0


def model(online: Online | None) -> Model:
    """Return the network with a stage."""
    rng = np.random.default_rng(H)
    network = [LSTM(1 + (online.derived if online else 0), H), Dense(H, 1)]
    weights = [
        {n: rng.uniform(-1, 1, s) / H**0.5 for n, s in layer.parameters().items()}
        for layer in network
    ]
    return Model(network, weights, ["value"], ["value"], skip=[0], online=online)


def walk(online: Online | None, B: int) -> tuple[Any, int]:
    """Return a function that takes STEPS steps of B streams, and the bytes of a stream."""
    made = model(online)
    backend = CpuBackend(made)
    rows = np.tile(initial_row(made), (B, 1))
    noise = np.random.default_rng(1).standard_normal((STEPS, B, 1))
    X = (np.sin(np.arange(STEPS) / 9)[:, None, None] + 0.2 * noise).astype(np.float32)
    Y = np.empty((B, made.result_size), np.float32)
    slots = np.random.default_rng(2).permutation(B)
    function, task = backend.prepare(rows, slots, X[0], Y)
    times = np.repeat(1.7e9 + 60.0 * np.arange(STEPS), B)
    address = times.ctypes.data if online and online.calendar else 0

    def run(_alive: object = (backend, rows, slots, X, Y, times)) -> None:
        _walk(STEPS, function, task, B, address)

    return run, 4 * rows.shape[1]


def costs(B: int, rounds: int) -> tuple[dict[str, float], dict[str, int]]:
    """Return seconds of a stream's step by stage, and bytes; "plain" has none."""
    cases, sizes = {}, {}
    for name, online in {"plain": None, **STAGES}.items():
        cases[name], sizes[name] = walk(online, B)
    times = interleaved(cases, rounds)
    return {name: seconds / STEPS / B for name, seconds in times.items()}, sizes


def messages(online: Online | None) -> Messages:
    """Return a STEP for each of some streams, and what the reply of a worker is like."""
    made = model(online)
    ids: list[wire.StreamId] = [f"sensor-{n:04d}" for n in range(1_000)]
    rows = np.random.default_rng(1).standard_normal((len(ids), 1)).astype(np.float32)
    frames = [
        wire.encode(wire.Step(id, 0, wire.to_floats(x))) for id, x in zip(ids, rows, strict=True)
    ]
    results = np.zeros((len(ids), made.result_size), np.float32)
    replies = wire.encode_predictions(ids, [0] * len(ids), results, model_extras(made))
    return pack(
        frames, replies, len(replies[0]) - len(wire.encode(wire.Prediction(ids[0], 0, b"")))
    )


def worker_ratios(folder: Path, rounds: int) -> tuple[float, float]:
    """Compare a worker whose model has intervals and anomaly scores with one that has none.

    Each answers STEPs, one a message, for a moment, in turns. What is compared is of neighbouring
    turns, so that a machine that becomes slower or busier in between changes little.

    Returns
    -------
    (float, float)
        Medians of the ratios of the rate, and of the worker's processor time for a message.
    """
    stages = {"plain": None, "told": Online(intervals=(0.9,), anomaly=True)}
    workers: dict[str, tuple[processes.Process, Messages]] = {}
    rates: list[float] = []
    times: list[float] = []
    try:
        for name, online in stages.items():
            file = folder / f"{name}.safetensors"
            model(online).save(file)
            workers[name] = processes.worker(file), messages(online)
        for turn in steps(range(rounds + 1), "workers"):
            found: dict[str, tuple[float, float]] = {}
            for name in list(stages)[:: 1 if turn % 2 else -1]:
                worker, requests = workers[name]
                process = psutil.Process(worker.pid)
                with processes.Sockets() as sockets:
                    socket = sockets.connect(zmq.DEALER, worker.endpoints["router"])
                    before = process.cpu_times()
                    outcome = load.throughput(socket, requests, TURN)
                    after = process.cpu_times()
                spent = after.user + after.system - before.user - before.system
                found[name] = outcome.rate, spent / outcome.answered
            if turn:  # the first warms up
                rates.append(found["told"][0] / found["plain"][0])
                times.append(found["told"][1] / found["plain"][1])
    finally:
        for worker, _ in workers.values():
            worker.__exit__(None, None, None)
    return float(np.median(rates)), float(np.median(times))


def main() -> None:
    """Measure, and print a table."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--rounds", type=int, default=11)
    given = arguments.parse_args()
    one, sizes = costs(1, given.rounds)
    block, _ = costs(BLOCK, given.rounds)
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    targets: dict[str, float] = {}
    for name in one:
        more, times = 1e9 * (one[name] - one["plain"]), block[name] / block["plain"]
        rows.append(
            {
                "stage": name,
                "one stream ns": f"{1e9 * one[name]:.0f}",
                "beyond plain ns": f"{more:.0f}",
                f"{BLOCK} streams, ns each": f"{1e9 * block[name]:.0f}",
                "times plain": f"{times:.2f}",
                "bytes a stream": sizes[name],
            }
        )
        if name != "plain":
            ratios |= {f"{name}, one stream ns": more, f"{name}, block": times}
        if name in TARGETS:
            at_most = TARGETS[name]
            targets |= {f"{name}, one stream ns": at_most[0], f"{name}, block": at_most[1]}
    with tempfile.TemporaryDirectory() as folder:
        rate, time = worker_ratios(Path(folder), 3 * given.rounds)
    rows.append({"stage": "worker, interval and anomaly: rate", "times plain": f"{rate:.2f}"})
    rows.append({"stage": "and its processor time a message", "times plain": f"{time:.2f}"})
    ratios |= {"worker": rate, "worker, processor time": time}
    targets["worker"] = WORKER_TARGET
    report("stage_cost", rows, ratios, given.json, targets=targets)


if __name__ == "__main__":
    main()
