"""What do ids cost, and what do a million live streams? Against the bare kernel and the targets.

    python -m benchmarks.streams [--json FILE]

The model is an LSTM of 64 units over 8 features. The bare kernel steps known slots; the engine gets
ids, finds their slots, validates the observations and allocates the array of predictions. Some
streams are compared with the reference before anything is timed.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import psutil

from streamlstm import LSTM, Engine, Model

from .harness import Row, interleaved, parser, report, steps

F, H = 8, 64
BLOCK = 4096
FEW, MANY = 1000, 1_000_000
REPEATS = 20  # blocks for which each of two engines goes on
BLOCKS = 50  # different random blocks of the million, so that none stays in cache


class Result(NamedTuple):
    """A measured value and its target."""

    question: str
    measured: float
    target: str
    ours: float | None = None  # us a block, or MB
    against: float | None = None

    def row(self) -> Row:
        """Return the row of the table."""
        return {
            "question": self.question,
            "us or MB": self.ours,
            "against": self.against,
            "ratio": self.measured,
            "target": self.target,
        }


def _model() -> Model:
    rng = np.random.default_rng(H)
    layer = LSTM(F, H)
    weights = {n: rng.uniform(-1, 1, s) / H**0.5 for n, s in layer.parameters().items()}
    return Model([layer], [weights])


def _observations(count: int) -> Any:
    return np.random.default_rng(1).standard_normal((count, F)).astype(np.float32)


def bare(engine: Engine, slots: Sequence[Any]) -> Callable[[], object]:
    """Return a call of the kernel with these arrays of slots in turn."""
    X = _observations(len(slots[0]))
    Y = np.empty((len(X), H), np.float32)
    turns = iter(range(1 << 60))
    step, rows = engine._backend.step_block, engine._table.rows
    return lambda: step(rows, slots[next(turns) % len(slots)], X, Y)


def many(engine: Engine, ids: Sequence[Any]) -> Callable[[], object]:
    """Return a call of ``step_many`` with these lists or arrays of ids in turn."""
    X = _observations(len(ids[0]))
    turns = iter(range(1 << 60))
    return lambda: engine.step_many(ids[next(turns) % len(ids)], X)


def load(engine: Engine, ids: Any) -> None:
    """Step every stream once."""
    X = _observations(BLOCK)
    for start in range(0, len(ids), BLOCK):
        part = ids[start : start + BLOCK]
        engine.step_many(part, X[: len(part)])


def check(engine: Engine, ids: Sequence[Any] | Any) -> None:
    """Reset live streams, step them twice and compare with the reference."""
    twin = Engine(engine.model, len(ids), backend="reference")
    for stream in ids:
        engine.reset(stream)
    X = _observations(len(ids))
    for _ in range(2):
        difference = np.max(np.abs(engine.step_many(ids, X) - twin.step_many(ids, X)))
        if difference > 1e-5:
            raise SystemExit(f"engine and reference differ by {difference:.1e}: nothing was timed")


def identified() -> list[Result]:
    """Compare ``step_many`` with the kernel at one block of streams, on one thread."""
    order = np.random.default_rng(2).permutation(BLOCK)
    kinds: dict[str, Any] = {"integer ids": order, "text ids": [f"sensor-{n:06d}" for n in order]}
    engines = {kind: Engine(_model(), BLOCK, threads=1) for kind in kinds}
    for kind, ids in kinds.items():
        load(engines[kind], ids)
        check(engines[kind], ids[::8])
    cases = {kind: many(engines[kind], [kinds[kind]]) for kind in kinds}
    cases["kernel"] = bare(engines["integer ids"], [np.random.default_rng(3).permutation(BLOCK)])
    times = interleaved(cases, rounds=21)
    return [
        Result(
            f"step_many, {kind}: rate against the kernel's",
            times["kernel"] / times[kind],
            target,
            times[kind] * 1e6,
            times["kernel"] * 1e6,
        )
        for kind, target in (("integer ids", ">= 0.85"), ("text ids", ">= 0.60"))
    ]


def threaded() -> list[Result]:
    """Compare two threads with one at one block of streams, and with two engines side by side."""
    ids = np.random.default_rng(2).permutation(BLOCK)
    engines = [Engine(_model(), BLOCK, threads=threads) for threads in (1, 2, 1)]
    for engine in engines:
        load(engine, ids)
    one, two, other = (many(engine, [ids]) for engine in engines)

    def repeated(step: Callable[[], object]) -> None:
        for _ in range(REPEATS):
            step()

    with ThreadPoolExecutor(1) as pool:

        def side_by_side() -> None:
            beside = pool.submit(repeated, other)
            repeated(one)
            beside.result()

        # Before the threads of a shared block spin: they would take the core of the second engine.
        alone = interleaved({"one": one, "side by side": side_by_side}, rounds=21)
    times = interleaved({"one": one, "two": two}, rounds=21)
    us = {case: seconds * 1e6 for case, seconds in times.items()}
    both = alone["side by side"] / REPEATS
    return [
        Result(
            "step_many, two threads: rate against one",
            us["one"] / us["two"],
            ">= 1.88",
            us["two"],
            us["one"],
        ),
        Result(
            "two engines side by side: rate against one alone",
            2 * alone["one"] / both,
            "what two cores give",
            both * 1e6,
            alone["one"] * 1e6,
        ),
    ]


def _grown(ids: Any, size: int, kind: str) -> tuple[Engine, Result]:
    """Start a million streams, and measure their memory relative to rows and ids."""
    before = psutil.Process().memory_info().rss
    engine = Engine(_model(), len(ids), threads=1)
    load(engine, ids)
    taken = psutil.Process().memory_info().rss - before
    least = engine._table.rows.nbytes + size
    question = f"a million streams, {kind}: memory against rows and ids"
    return engine, Result(question, taken / least, "<= 1.15", taken / 1e6, least / 1e6)


def million() -> list[Result]:
    """Compare random blocks of a million streams with a thousand streams, and measure memory."""
    Engine(_model(), 1).step(0, np.zeros(F))  # loads everything that is loaded once
    rng = np.random.default_rng(4)
    text = [f"sensor-{n:07d}" for n in range(MANY)]
    results = [_grown(text, sum(map(len, text)), "text ids")[1]]
    ids = rng.permutation(np.arange(MANY, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    engine, memory = _grown(ids, ids.nbytes, "integer ids")
    results.append(memory)
    check(engine, ids[:: MANY // 500])
    few = Engine(_model(), FEW, threads=1)
    load(few, ids[:FEW])
    blocks = [rng.choice(ids, BLOCK, replace=False) for _ in range(BLOCKS)]
    slots = [rng.choice(MANY, BLOCK, replace=False) for _ in range(BLOCKS)]
    cases = {
        "step_many": many(engine, blocks),
        "few step_many": many(few, [rng.permutation(ids[:FEW]) for _ in range(BLOCKS)]),
        "the kernel": bare(engine, slots),
        "few the kernel": bare(few, [rng.permutation(FEW) for _ in range(BLOCKS)]),
    }
    times = interleaved(cases, rounds=21)
    for case, target in (("step_many", "<= 1.25"), ("the kernel", "<= 1.15")):
        ours, against = times[case], times[f"few {case}"] * BLOCK / FEW
        question = f"a million streams, {case}: cost of a step against a thousand's"
        results.append(Result(question, ours / against, target, ours * 1e6, against * 1e6))
    return results


def main() -> None:
    """Measure everything and print the table."""
    arguments = parser(__doc__ or "").parse_args()
    results = [
        result
        for measure in steps((million, identified, threaded), "streams")
        for result in measure()
    ]
    ratios = {result.question: result.measured for result in results}
    note = f"us a block of {BLOCK} steps. One thread but where two are named."
    report("streams", [result.row() for result in results], ratios, arguments.json, note)


if __name__ == "__main__":
    main()
