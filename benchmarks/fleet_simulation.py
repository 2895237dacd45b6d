"""Random schedules of a fleet in virtual time, and what a fleet of 1,000 machines would do.

    python -m benchmarks.fleet_simulation [--schedules 20000] [--seed 0] [--machines 1000]
        [--json [FILE]]

The coordinator is the one that is shipped; workers, folders, connections and publishers are models
(benchmarks/virtual). A schedule kills workers and supervisors, moves partitions and changes the
number of workers, with every message taking its time; on many machines these join, leave, are lost,
stopped and woken, and lead one after the other. After each one every stream must have each of its
observations once, in order, at one worker, and nothing may be left over. Then a large fleet loses
machines: how many messages that takes, how long, and how much computing by the coordinator.
The exit status is 1 if anything is wrong; a seed that finds something belongs into
tests/unit/test_fleet_simulation.py.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import count, islice

from .harness import Row, machine, parser, report, steps
from .virtual import machine_schedule
from .virtual.large import STREAMS_A_PARTITION, lose, start
from .virtual.schedule import Outcome, run
from .virtual.truth import FaultError

BATCH = 100  # schedules of one call of a process


def _batch(run: Callable[[int], Outcome], first: int) -> tuple[int, int, list[str]]:
    """Run some schedules; return their events, their observations and what was wrong."""
    events = observations = 0
    faults = []
    for seed in range(first, first + BATCH):
        try:
            outcome = run(seed)
        except FaultError as fault:
            faults.append(str(fault))
            continue
        events += outcome.events
        observations += outcome.observations
    return events, observations, faults


def schedules(
    what: str, run: Callable[[int], Outcome], number: int, seed: int
) -> tuple[Row, list[str]]:
    """Run random schedules on all cores; return what they were, and all faults."""
    began = time.monotonic()
    firsts = list(islice(count(seed, BATCH), max(1, number // BATCH)))
    with ProcessPoolExecutor() as pool:
        done: Iterator[tuple[int, int, list[str]]] = pool.map(partial(_batch, run), firsts)
        found = [next(done) for _ in steps(firsts, what)]
    faults = [fault for each in found for fault in each[2]]
    row: Row = {
        "what": what,
        "schedules": len(firsts) * BATCH,
        "events": sum(each[0] for each in found),
        "observations": sum(each[1] for each in found),
        "faults": len(faults),
        "minutes": (time.monotonic() - began) / 60,
    }
    return row, faults


def large(machines: int) -> list[Row]:
    """Start a large fleet in virtual time, and let it lose machines."""
    fleet, row = start(machines)
    return [row, *(lose(fleet, number) for number in (1, 10, machines // 10))]


def main() -> None:
    """Run the benchmark."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--schedules", type=int, default=20_000)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--machines", type=int, default=1_000)
    options = arguments.parse_args()
    row, faults = schedules("random schedules", run, options.schedules, options.seed)
    late = partial(machine_schedule.run, hello_after=machine_schedule.LATE)
    many, more = schedules("schedules of many machines", late, options.schedules // 2, options.seed)
    faults += more
    rows = [row, many, *large(options.machines)]
    note = f"{options.machines:,} machines have {1024 * STREAMS_A_PARTITION:,} streams"
    report("fleet_simulation", rows, {}, options.json, note, where=machine())
    for fault in faults:
        print(f"FAULT {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
