"""Is a calendar chosen by validation worth being the default? `--calendar auto` beside none.

    python -m benchmarks.calendars --data DIR [--epochs N] [--json FILE]

Each file of NAB and each column of ETTh1 with rows often enough for a calendar, one and 24 steps
ahead: the mean absolute error on the last fifth with `--calendar auto` over that without, both
trained in the same way, and whether the validation rows chose a calendar. Where they chose none,
both models are the same. DIR is that of `benchmarks.forecast`.
"""

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from streamlstm.errors import DataError
from streamlstm.learn.training import train

from .harness import Row, parser, report, steps

AHEAD = (1, 24)


class Compared(NamedTuple):
    """A series with a calendar chosen by validation, beside one without.

    Attributes
    ----------
    taken : bool
        Whether a calendar was chosen.
    ratio : float
        The error with what was chosen over that without a calendar.
    seconds : float
        How much longer the training took, in multiples of that without.
    """

    taken: bool
    ratio: float
    seconds: float


def columns(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file and column of the series that are in a folder."""
    for path in sorted((folder / "nab/data").glob("*/*.csv")):
        yield path, "value"
    path = folder / "ett/ETTh1.csv"
    if path.exists():
        with path.open(newline="") as file:
            yield from ((path, name) for name in next(csv.reader(file))[1:])


def compared(path: Path, column: str, ahead: int, epochs: int) -> Compared:
    """Train with a calendar chosen by validation and without; return how they compare."""
    errors, seconds, taken = [], [], False
    for calendar in ("none", "auto"):
        began = time.process_time()
        trained = train(
            path,
            target=column,
            inputs=(column,),
            horizon=ahead,
            calendar=calendar,
            epochs=epochs,
            allow_gaps=True,
            sort=True,
            resample="5min mean" if _repeats(path) else None,
            fill="last" if _repeats(path) else "refuse",
        )
        seconds.append(time.process_time() - began)
        errors.append(trained.scores[0].errors.mae)
        taken = bool(trained.model.online and trained.model.online.calendar)
    ratio = errors[1] / errors[0] if errors[0] > 0 else 1.0
    return Compared(taken, ratio, seconds[1] / max(seconds[0], 1e-9))


def _repeats(path: Path) -> bool:
    """Return whether times come twice in a file, as in a few of NAB: then they are combined."""
    with path.open(newline="") as file:
        times = [row[0] for row in csv.reader(file)]
    return len(set(times)) < len(times)


def row(ahead: int, found: list[Compared]) -> Row:
    """Return what came of the series of one horizon."""
    ratios = [c.ratio for c in found if c.taken]
    return {
        "ahead": ahead,
        "series": len(found),
        "a calendar chosen": len(ratios),
        "better": sum(r < 1 for r in ratios),
        "error of those, mean": sum(ratios) / len(ratios) if ratios else None,
        "best": min(ratios, default=None),
        "worst": max(ratios, default=None),
        "error of all, mean": sum(c.ratio for c in found) / len(found),
        "processor time": sum(c.seconds for c in found) / len(found),
    }


def main() -> None:
    """Compare on every series, and print a row for each horizon."""
    options = parser(__doc__ or "")
    options.add_argument("--data", type=Path, required=True, help="folder with nab/ and ett/")
    options.add_argument("--epochs", type=int, default=20)
    arguments = options.parse_args()
    found: dict[int, list[Compared]] = {ahead: [] for ahead in AHEAD}
    pairs = [(*place, ahead) for place in columns(arguments.data) for ahead in AHEAD]
    if not pairs:
        raise DataError(f"{arguments.data}: expected nab/data or ett/ETTh1.csv in it")
    for path, column, ahead in steps(pairs, "calendars"):
        found[ahead].append(compared(path, column, ahead, arguments.epochs))
    rows = [row(ahead, those) for ahead, those in found.items()]
    note = "Errors and processor time are in multiples of those without a calendar."
    report("calendars", rows, {}, arguments.json, note)


if __name__ == "__main__":
    main()
