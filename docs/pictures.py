"""Draw the pictures of docs/online.md and docs/evaluate.md: what a detector says of two series.

    python -m docs.pictures [--data FOLDER]

FOLDER is `realKnownCause` of the Numenta Anomaly Benchmark; it is looked for beside the repository,
in `shared/data/nab/data`. Needs matplotlib.
"""

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import numpy as np

from streamlstm import detector, evaluate
from streamlstm.engine.offline import predict_rows
from streamlstm.engine.prediction import Predictions, ResultLayout

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT.parent / "shared" / "data" / "nab" / "data" / "realKnownCause"
MACHINE, TAXI = "machine_temperature_system_failure.csv", "nyc_taxi.csv"
PAGE, COLOUR, ALARM = ROOT / "docs" / "images" / "online.png", "tab:blue", "tab:red"
ROWS = 240  # of the close view
ALARM_RATE = 1e-3  # ten times the default


def main() -> None:
    """Draw both."""
    arguments = argparse.ArgumentParser(description="Draw the pictures of docs/.")
    arguments.add_argument("--data", type=Path, default=FOLDER)
    folder = arguments.parse_args().data
    draw_online(folder / MACHINE)
    model = detector(intervals=(0.5, 0.9))
    evaluate(model, folder / TAXI).plot().save(PAGE.with_name("evaluate.png"))


def draw_online(path: Path) -> None:
    """Step a series once, as if it were live, and draw what is said of it."""
    # Its clock goes back once, by an hour; rows are five minutes apart all the same.
    values = np.loadtxt(path, np.float32, delimiter=",", skiprows=1, usecols=1)
    times, model = 300.0 * np.arange(len(values)), detector(alarm_rate=ALARM_RATE)
    results = predict_rows(model, values[:, None], [np.arange(len(values))], times)
    told = Predictions(results, ResultLayout.of(model))
    low, high = (np.roll(bound[:, 0], 1) for bound in (told.low, told.high))  # said a row before

    figure, (whole, score, close) = plt.subplots(3, 1, figsize=(8, 6), layout="constrained")
    days, alarms = times / 86400, np.flatnonzero(told.alarm)
    whole.plot(days, values, lw=0.5, color=COLOUR)
    whole.plot(days[alarms], values[alarms], "v", ms=5, color=ALARM)
    whole.set_title("temperature, and where an alarm was raised", loc="left", fontsize=9)
    score.plot(days, told.score, lw=0.6, color="black")
    score.set_title("score", loc="left", fontsize=9)
    score.set_xlabel("days")
    first = 2000
    part = slice(first, first + ROWS)
    close.fill_between(days[part], low[part], high[part], alpha=0.3, color=COLOUR, lw=0)
    close.plot(days[part], values[part], ".", ms=2, color="black")
    title = "twenty hours of it: values, and the 90 % interval that was told one row before"
    close.set_title(title, loc="left", fontsize=9)
    close.set_xlabel("days")
    figure.savefig(PAGE, dpi=90)
    inside = ((low <= values) & (values <= high))[1:].mean()
    print(f"{len(values)} rows, {len(alarms)} alarms, {inside:.1%} inside; written to {PAGE}")


if __name__ == "__main__":
    main()
