"""How good are models that `train` makes, beside simple forecasts and published networks.

    python -m benchmarks.forecast --data DIR --part informer|series|commands [--json FILE]

*informer*: the column OT of ETTh1 by the univariate protocol of the Informer paper (Zhou et al.,
2021): 12 months to train, 4 to validate and 4 to test, standardised by the first; of every hour of
the test the next 24, 48, 168, 336 or 720 hours are forecast at once, a direct output for each; the
mean squared error beside those that the paper gives for its networks. *series*: each file of NAB
and each column of ETTh1, one and 24 steps ahead, by the defaults of `streamlstm train`: the mean
absolute error over that of the best of persistence, season and autoregression. Where the best
leaves less than a thousandth of persistence's error, as on a series that repeats itself, that
thousandth stands for it. *commands*: `streamlstm train FILE --target COLUMN` of two of these files,
all other columns beside it, and nothing else said.

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
COMMANDS = (
    ("NAB nyc_taxi", "nab/data/realKnownCause/nyc_taxi.csv", "value"),
    ("ETTh1 OT", "ett/ETTh1.csv", "OT"),
)
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


def command(name: str, path: Path, target: str) -> Row:
    """Return the mean absolute errors of a model trained by default, and of the baselines."""
    began = time.perf_counter()
    trained = train(path, target=target)
    score = trained.scores[0]
    errors = score.errors
    return {
        "series": name,
        "values scored": errors.values,
        "model": errors.mae,
        "persistence": errors.persistence,
        "season": errors.season,
        "autoregression": errors.autoregression,
        "seconds": time.perf_counter() - began,
    }


def summary(rows: list[Row]) -> list[Row]:
    """Return for each horizon how the models of all series compare with the best baseline."""
    found: list[Row] = []
    for ahead in AHEAD:
        those = [row for row in rows if row["ahead"] == ahead]
        ratios = [number(row["of the best"]) for row in those]
        highest = ratios.index(max(ratios))
        found.append(
            {
                "ahead": ahead,
                "series": len(those),
                "of the best baseline, mean": sum(ratios) / len(ratios),
                "highest": f"{ratios[highest]:.3f}",
                "of": str(those[highest]["series"]),
                "below the best": sum(ratio < 1 for ratio in ratios),
            }
        )
    return found


def report_informer(rows: list[Row], path: Path | None) -> None:
    """Print the rows of that table, and write them."""
    ratios = {
        f"informer/{row['hours']}, of {name}'s": number(row["model"]) / number(row[name])
        for row in rows
        for name in ("LSTMa", "Informer")
    }
    note = "Mean squared errors, standardised."
    report("forecast_informer", rows, ratios, path, note, targets=TARGETS)


def report_series(rows: list[Row], path: Path | None) -> None:
    """Print the rows of that table and their summary, and write this and all ratios."""
    report("series", rows, {}, None, "Errors are in multiples of persistence's.")
    ratios = {f"series/{r['series']}, {r['ahead']} ahead": number(r["of the best"]) for r in rows}
    ratios["series/worst"] = max(ratios.values())
    report("forecast_series", summary(rows), ratios, path, targets=TARGETS)


def main() -> None:
    """Train and score every model, and print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--data", type=Path, required=True, help="folder with nab/ and ett/")
    options.add_argument("--part", choices=("informer", "series", "commands"), required=True)
    options.add_argument("--horizons", type=int, nargs="+", default=list(LSTMA), choices=LSTMA)
    options.add_argument("--hidden", type=int, default=64)
    options.add_argument("--epochs", type=int, default=300)
    options.add_argument("--long-epochs", type=int, default=40, help="of the informer table")
    arguments = options.parse_args()
    found = dict(series(arguments.data))
    if not found:
        raise DataError(f"{arguments.data}: expected nab/data or ett/ETTh1.csv in it")
    hidden, rows = arguments.hidden, []
    if arguments.part == "informer":
        for horizon in steps(arguments.horizons, "informer"):
            rows.append(informer(found["ETTh1 OT"], horizon, hidden, arguments.long_epochs))
        report_informer(rows, arguments.json)
    elif arguments.part == "series":
        pairs = [(name, ahead) for name in found for ahead in AHEAD]
        for name, ahead in steps(pairs, "series"):
            rows.append(compared(name, found[name], ahead, hidden, arguments.epochs))
        report_series(rows, arguments.json)
    else:
        for name, path, target in steps(COMMANDS, "commands"):
            rows.append(command(name, arguments.data / path, target))
        report("forecast_commands", rows, {}, arguments.json, "Mean absolute errors.")


if __name__ == "__main__":
    main()
