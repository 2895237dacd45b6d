"""What do stream ids cost that someone chose to collide? Against ids that nobody chose.

    python -m benchmarks.flooding [--json FILE]

An engine gets ids whose stable hashes are alike, and integers that collide in a dict of Python
(colliding.py). Its work must not depend on that: all ratios are about 1.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np

from streamlstm import LSTM, Engine, Model, wire
from streamlstm.errors import SequenceError

from . import colliding
from .harness import Row, parser, report

STREAMS, BLOCK = 60_000, 2_000
MESSAGE = wire.MAX_STREAMS
STEPS, ROUNDS = 100, 3
Ids = Sequence[wire.StreamId]
Measure = Callable[[Ids], dict[str, float]]


def _engine() -> Engine:
    layer = LSTM(1, 8)
    rng = np.random.default_rng(1)
    return Engine(
        Model([layer], [{n: rng.standard_normal(s) for n, s in layer.parameters().items()}]),
        capacity=2 * STREAMS,
        threads=1,
    )


def first_steps(ids: Ids) -> dict[str, float]:
    """Measure the first steps of all streams, and one more step of the last."""
    engine, X = _engine(), np.zeros((BLOCK, 1), np.float32)
    start = time.perf_counter()
    for n in range(0, len(ids), BLOCK):
        engine.step_many(ids[n : n + BLOCK], X)
    middle = time.perf_counter()
    for _ in range(STEPS):
        engine.step(ids[-1], X[0])
    end = time.perf_counter()
    return {"all first steps": middle - start, "a step of the last": (end - middle) / STEPS}


def refused_block(ids: Ids) -> dict[str, float]:
    """Measure a block whose last number is wrong: Python looks at every row."""
    engine, X = _engine(), np.zeros((len(ids), 1), np.float32)
    start = time.perf_counter()
    with suppress(SequenceError):
        engine.step_many(ids, X, seqs=[1] * (len(ids) - 1) + [2])
    seconds = time.perf_counter() - start
    if len(engine):
        raise SystemExit("expected the bad row to be refused")
    return {"a block that is refused": seconds}


def compare(name: str, measure: Measure, chosen: Ids, others: Ids) -> list[Row]:
    """Return a row for each thing measured, with the medians of both kinds of ids."""
    measure(others)
    rounds = [(measure(chosen), measure(others)) for _ in range(ROUNDS)]
    rows: list[Row] = []
    for what in rounds[0][0]:
        ours, theirs = (statistics.median(pair[k][what] for pair in rounds) for k in (0, 1))
        row = {"chosen, ms": 1e3 * ours, "others, ms": 1e3 * theirs, "ratio": ours / theirs}
        rows.append({"ids": name, "measured": what, **row})
    return rows


def main() -> None:
    """Measure every case and print the table."""
    arguments = parser(__doc__ or "").parse_args()
    some = np.random.default_rng(2).integers(0, 2**63, STREAMS).tolist()
    some_texts = [f"another stream, {n:016x}" for n in some]
    rows = [
        *compare(f"{STREAMS} integers", first_steps, colliding.integers(STREAMS), some),
        *compare(f"{STREAMS} texts", first_steps, colliding.texts(STREAMS), some_texts),
        *compare(
            f"{MESSAGE} integers, for a dict",
            refused_block,
            colliding.integers_in_a_dict(MESSAGE),
            some[:MESSAGE],
        ),
    ]
    ratios = {f"{row['ids']}: {row['measured']}": float(row["ratio"] or 0) for row in rows}
    report("flooding", rows, ratios, arguments.json)


if __name__ == "__main__":
    main()
