"""How good are models that `train` makes, beside simple forecasts and published networks.

    python -m benchmarks.forecast --data DIR [--part informer|series] [--json FILE]

Two tables. *informer*: the column OT of ETTh1 by the univariate protocol of the Informer paper
(Zhou et al., 2021): 12 months to train, 4 to validate and 4 to test, standardised by the first; of
every hour of the test the next 24, 48, 168, 336 or 720 hours are forecast at once, a direct output
for each; the mean squared error beside those that the paper gives for its networks. *series*: each
file of NAB and each column of ETTh1, one and 24 steps ahead, by the defaults of `streamlstm train`:
the mean absolute error over that of the best of persistence, season and autoregression. Where the
best leaves less than a thousandth of persistence's error, as on a series that repeats itself, that
thousandth stands for it.

DIR holds `nab/data` of NAB (numenta/NAB) and `ett/ETTh1.csv` (zhouhaoyi/ETDataset). A model is
scored as it is served: by the engine, row after row, from an empty state.
"""

import csv
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamlstm.errors import DataError
from streamlstm.learn.evaluation.evaluation import Score
from streamlstm.learn.training import train

from .harness import Row, number, parser, report, steps

# Mean squared errors of the paper, table 1.
INFORMER = {24: 0.098, 48: 0.158, 168: 0.183, 336: 0.222, 720: 0.269}
LSTMA = {24: 0.114, 48: 0.193, 168: 0.236, 336: 0.590, 720: 0.683}
MONTH = 30 * 24
ROWS, TEST = 20 * MONTH, 16 * MONTH
AHEAD = (1, 24)
LEAST = 1e-3  # of persistence's error: what counts as the best baseline's at least
TARGETS = {
    **{f"informer/{h}, of LSTMa's": 1.0 for h in LSTMA},
    **{f"informer/{h}, of Informer's": 1.0 for h in INFORMER},
    "series/worst": 1.02,
}
Values = NDArray[np.float64]


def series(folder: Path) -> Iterator[tuple[str, Values]]:
    """Yield name and values of the series that are in a folder, in the order of the file."""
    for path in sorted((folder / "nab/data").glob("*/*.csv")):
        yield path.stem, _columns(path)["value"]
    if (folder / "ett/ETTh1.csv").exists():
        for name, values in _columns(folder / "ett/ETTh1.csv").items():
            yield f"ETTh1 {name}", values


def _columns(path: Path) -> dict[str, Values]:
    """Return the columns of a file but the first, the time, which goes back in one of them."""
    with path.open(newline="") as file:
        head, *rows = csv.reader(file)
    values = np.array([row[1:] for row in rows], np.float64).T
    return dict(zip(head[1:], values, strict=True))


def _write(values: Values, folder: str) -> Path:
    path = Path(folder) / "series.csv"
    np.savetxt(path, values, header="value", comments="", fmt="%.17g")
    return path


def informer(values: Values, horizon: int, hidden: int, epochs: int) -> Row:
    """Return the mean squared error of the next ``horizon`` values, standardised."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trained = train(
            _write(values[:ROWS], folder),
            target="value",
            horizon=range(1, horizon + 1),
            train_fraction=12 / 20,
            validation_fraction=4 / 20,
            hidden=hidden,
            epochs=epochs,
        )
    scale = values[: 12 * MONTH].std()
    last = np.arange(TEST - 1, ROWS - horizon)  # the last row that is known
    came = values[last[:, None] + np.arange(1, horizon + 1)]
    made = trained.results[last, :horizon]
    error = float((((made - came) / scale) ** 2).mean())
    known = float((((values[last, None] - came) / scale) ** 2).mean())
    return {
        "hours": horizon,
        "model": error,
        "persistence": known,
        "LSTMa": LSTMA[horizon],
        "Informer": INFORMER[horizon],
        "seconds": time.perf_counter() - began,
    }


def ratio(score: Score) -> float:
    """Return the model's error over the best baseline's."""
    errors = score.errors
    baselines = (errors.persistence, errors.season, errors.autoregression)
    best = min(error for error in baselines if error is not None)
    best = max(best, LEAST * errors.persistence)
    return errors.mae / best if best > 0 else float(errors.mae > 0)


def compared(name: str, values: Values, ahead: int, hidden: int, epochs: int) -> Row:
    """Return the model's error beside those of the baselines, in multiples of persistence's."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = _write(values, folder)
        trained = train(path, target="value", horizon=ahead, hidden=hidden, epochs=epochs)
    score = trained.scores[0]
    errors = score.errors
    unit = errors.persistence or 1.0
    seasonal = None if errors.season is None else errors.season / unit
    return {
        "series": name,
        "ahead": ahead,
        "model": errors.mae / unit,
        "season": seasonal,
        "autoregression": errors.autoregression / unit,
        "of the best": ratio(score),
        "seconds": time.perf_counter() - began,
    }


def main() -> None:
    """Train and score every model, and print the tables."""
    options = parser(__doc__ or "")
    options.add_argument("--data", type=Path, required=True, help="folder with nab/ and ett/")
    options.add_argument("--part", choices=("informer", "series"), help="one of the tables alone")
    options.add_argument("--horizons", type=int, nargs="+", default=list(LSTMA), choices=LSTMA)
    options.add_argument("--hidden", type=int, default=64)
    options.add_argument("--epochs", type=int, default=300)
    options.add_argument("--long-epochs", type=int, default=40, help="of the informer table")
    arguments = options.parse_args()
    found = dict(series(arguments.data))
    if not found:
        raise DataError(f"{arguments.data}: expected nab/data or ett/ETTh1.csv in it")
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    if arguments.part != "series" and "ETTh1 OT" in found:
        for horizon in steps(arguments.horizons, "informer"):
            row = informer(found["ETTh1 OT"], horizon, arguments.hidden, arguments.long_epochs)
            rows.append({"table": "informer", **row})
            error = number(row["model"])
            ratios[f"informer/{horizon}, of LSTMa's"] = error / LSTMA[horizon]
            ratios[f"informer/{horizon}, of Informer's"] = error / INFORMER[horizon]
    if arguments.part != "informer":
        pairs = [(name, ahead) for name in found for ahead in AHEAD]
        ours = []
        for name, ahead in steps(pairs, "series"):
            row = compared(name, found[name], ahead, arguments.hidden, arguments.epochs)
            rows.append({"table": "series", **row})
            ours.append(number(row["of the best"]))
        ratios |= {"series/worst": max(ours), "series/mean": sum(ours) / len(ours)}
    note = "Errors of the series are in multiples of persistence's."
    report("forecast", rows, ratios, arguments.json, note, targets=TARGETS)


if __name__ == "__main__":
    main()
