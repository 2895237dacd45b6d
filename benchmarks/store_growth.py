"""Does the file of an LMDB store level off? An hour of commits over a fixed set of streams.

    python -m benchmarks.store_growth [--json FILE] [--streams 5000] [--minutes 60] [--folder PLACE]

Ten commits a second, each of 6 to 12 % of the streams, at random, are made as fast as they can be,
in memory (/dev/shm) unless PLACE is given. A page that a commit has replaced may be used again two
commits later, or when nobody reads a former commit any more; so the file grows until it has room
for what is in use and three commits, and the free pages go from one commit to the next. "with
readers" holds each tenth commit for ten more, as a backup does.

The pages of the file that were touched count as resident memory of the process (RssFile; RssShmem
in /dev/shm); the system takes them back when it needs memory. RssAnon is what the process itself
has allocated.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from streamlstm.serving.stores.header import Header
from streamlstm.serving.stores.lmdb import LmdbStore
from streamlstm.serving.stores.lmdb.check import structure_problems

from .harness import Row, parser, report

COMMITS_A_MINUTE = 600
LOOKS = (1, 10, 30, 60, 120, 240, 480, 1440)  # minutes
CASES = {"536 bytes": (536, False), "1.5 KiB": (1536, False), "with readers": (536, True)}
MIB = 2**20


def rows(
    case: str, size: int, readers: bool, streams: int, minutes: int, folder: Path
) -> Iterator[Row]:
    """Commit, and yield what the file is like from time to time."""
    random = np.random.default_rng(1)
    keys = [f"stream-{n}".encode() for n in range(streams)]
    record = os.urandom(size)
    store = LmdbStore(str(folder), Header("f" * 64, size))
    held: Any = store.items()
    for commit in range(1, COMMITS_A_MINUTE * minutes + 1):
        few, many = streams * 6 // 100, streams * 12 // 100
        some = random.choice(streams, random.integers(few, many + 1), replace=False)
        store.commit((), [(keys[n], record) for n in some])
        if readers and commit % 10 == 0:
            held.close()
            held = store.items()
            if commit % 20 == 0:
                next(held)  # from here on until it is closed it reads this commit
        if commit % COMMITS_A_MINUTE == 0 and (at := commit // COMMITS_A_MINUTE) in LOOKS:
            yield _row(case, at, store, folder)
    held.close()
    store.close()
    if problems := structure_problems(folder / "data.mdb"):
        raise SystemExit(f"{case}: {problems[0]}")


def _row(case: str, minutes: int, store: LmdbStore, folder: Path) -> Row:
    pages, status = store.pages(), Path("/proc/self/status").read_text().split()
    mapped = sum(int(status[status.index(name) + 1]) for name in ("RssFile:", "RssShmem:"))
    return {
        "commits of": case,
        "minutes": str(minutes),
        "file, MiB": (folder / "data.mdb").stat().st_size / MIB,
        "in use, MiB": pages.used * pages.size / MIB,
        "free, MiB": pages.free_bytes / MIB,
        "mapped, MiB": mapped / 1024,
        "RssAnon, MiB": int(status[status.index("RssAnon:") + 1]) / 1024,
    }


def main() -> None:
    """Measure and print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--streams", type=int, default=5000)
    options.add_argument("--minutes", type=int, default=60, help="of ten commits a second")
    options.add_argument("--folder", type=Path, help="parent folder of the stores")
    arguments = options.parse_args()
    if arguments.streams < 100 or arguments.minutes < 1:
        options.error("expected 100 streams or more, and a minute or more")
    shared = Path("/dev/shm")
    parent = arguments.folder or (shared if shared.is_dir() else None)
    found: list[Row] = []
    ratios = {}
    for case, (size, readers) in CASES.items():
        with tempfile.TemporaryDirectory(dir=parent) as folder:
            place = Path(folder)
            own = list(rows(case, size, readers, arguments.streams, arguments.minutes, place))
        found += own
        sizes = {str(row["minutes"]): float(row["file, MiB"] or 0) for row in own}
        if "10" in sizes:
            ratios[f"{case}: the file at the end against ten minutes"] = (
                list(sizes.values())[-1] / sizes["10"]
            )
    note = f"{arguments.streams} streams; ten commits to a second, made without waiting."
    report("store growth", found, ratios, arguments.json, note, dict.fromkeys(ratios, 1.1))


if __name__ == "__main__":
    main()
