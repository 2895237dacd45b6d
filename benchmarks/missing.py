"""What do missing values cost? Errors after a filled row, of those after the last value repeated.

    python -m benchmarks.missing --data DIR [--models DIR] [--json FILE]

DIR holds nab/ and ett/: the Numenta Anomaly Benchmark and the Electricity Transformer Dataset; a
series that is not there is left out and said so. For each, a network of 32 units is trained with
the defaults of `streamlstm train` on the first half; --models keeps it for the next run. From 60 %
on a fifth of the values is removed, at random or in bursts of about 12 or 48 rows, three times
each. The error is that of the forecast made on a row whose own value was missing. "own" takes the
network's forecast as it is; "known" was given the values that lack, and no method can do better.
The method was chosen on the first group of series, and changed after looks at the second and the
third; the fourth was looked at twice, and one of its series, "density", changed how much a path is
kept before a gap has ended. Other gaps than those that it was chosen on: --seeds 4 5 6.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlstm import Engine, Model
from streamlstm.errors import DataError
from streamlstm.kernels.cache import kernel
from streamlstm.kernels.online.fill import fill_step
from streamlstm.learn.build import build_model
from streamlstm.learn.dataset import Dataset, Split
from streamlstm.learn.fit import fit
from streamlstm.learn.settings import Settings
from streamlstm.online import fill

from .harness import Row, parser, report, steps

Array = NDArray[Any]


class Series(NamedTuple):
    """A public series: its file below DIR, the column to forecast, and the inputs (all: none)."""

    file: str
    target: str = "value"
    inputs: tuple[str, ...] = ()


_KNOWN, _TWEETS = "nab/data/realKnownCause", "nab/data/realTweets/Twitter_volume_"
CHOSEN_ON = {
    "taxi": Series(f"{_KNOWN}/nyc_taxi.csv"),
    "ETTh1": Series("ett/ETTh1.csv", "OT", ("OT",)),
    "machine": Series(f"{_KNOWN}/machine_temperature_system_failure.csv"),
    "ETTh2": Series("ett/ETTh2.csv", "OT", ("OT",)),
    "ambient": Series(f"{_KNOWN}/ambient_temperature_system_failure.csv"),
    "AAPL": Series(f"{_TWEETS}AAPL.csv"),
}
CHANGED_AFTER = {
    "ETTh1, all inputs": Series("ett/ETTh1.csv", "OT"),
    "FB": Series(f"{_TWEETS}FB.csv"),
    "GOOG": Series(f"{_TWEETS}GOOG.csv"),
    "IBM": Series(f"{_TWEETS}IBM.csv"),
    "cpu": Series(f"{_KNOWN}/cpu_utilization_asg_misconfiguration.csv"),
    "rogue": Series(f"{_KNOWN}/rogue_agent_key_updown.csv"),
    "spikes": Series("nab/data/artificialWithAnomaly/art_load_balancer_spikes.csv"),
    "daily": Series("nab/data/artificialNoAnomaly/art_daily_small_noise.csv"),
}
CHANGED_AGAIN_AFTER = {
    "AMZN": Series(f"{_TWEETS}AMZN.csv"),
    "CVS": Series(f"{_TWEETS}CVS.csv"),
    "KO": Series(f"{_TWEETS}KO.csv"),
    "UPS": Series(f"{_TWEETS}UPS.csv"),
    "ec2": Series(f"{_KNOWN}/ec2_request_latency_system_failure.csv"),
    "jumps": Series("nab/data/artificialWithAnomaly/art_daily_jumpsup.csv"),
}
_ANOMALY, _NONE = "nab/data/artificialWithAnomaly/art_", "nab/data/artificialNoAnomaly/art_"
LOOKED_AT_LAST = {
    **{name: Series("ett/ETTh1.csv", name, (name,)) for name in ("HUFL", "HULL", "MUFL", "MULL")},
    **{name: Series("ett/ETTh1.csv", name, (name,)) for name in ("LUFL", "LULL")},
    "CRM": Series(f"{_TWEETS}CRM.csv"),
    "PFE": Series(f"{_TWEETS}PFE.csv"),
    "rogue hold": Series(f"{_KNOWN}/rogue_agent_key_hold.csv"),
    "density": Series(f"{_ANOMALY}increase_spike_density.csv"),
    "flat middle": Series(f"{_ANOMALY}daily_flatmiddle.csv"),
    "jumps down": Series(f"{_ANOMALY}daily_jumpsdown.csv"),
    "no jump": Series(f"{_ANOMALY}daily_nojump.csv"),
    "no noise": Series(f"{_NONE}daily_no_noise.csv"),
    "square": Series(f"{_NONE}daily_perfect_square_wave.csv"),
    "noisy": Series(f"{_NONE}noisy.csv"),
}
GROUPS = {
    "chosen on": CHOSEN_ON,
    "changed after": CHANGED_AFTER,
    "changed again after": CHANGED_AGAIN_AFTER,
    "looked at last": LOOKED_AT_LAST,
}
H, TRAIN, VALIDATION = 32, 0.5, 0.1
SHARE, SEEDS = 0.2, (1, 2, 3)
GAPS = {"random": 1, "bursts of 12": 12, "bursts of 48": 48}
METHODS = ("last", "known", "mean", "own", "predict")
MAX_GAP = 1_000
TARGETS = {f"missing/worst, {group}": 1.03 for group in GROUPS} | {
    f"missing/mean, {group}": 0.85 for group in GROUPS
}


def read(path: Path, series: Series) -> tuple[list[str], Array]:
    """Return the names of the inputs and all their rows, in the order of the file."""
    with path.open() as file:
        head, *rows = csv.reader(file)
    names = list(series.inputs) or head[1:]
    columns = [head.index(name) for name in names]
    return names, np.array([[row[c] for c in columns] for row in rows], np.float32)


def train(names: list[str], values: Array, target: str) -> Model:
    """Train a network with the defaults of the command line on the first half."""
    place = names.index(target)
    data = Dataset(
        [("", values)], list(range(len(names))), [place], 1, Split(TRAIN, VALIDATION), True
    )
    fitted = fit(data, Settings(hidden_sizes=(H,)))
    return build_model(fitted.network, data, names, [target])


def model_of(name: str, names: list[str], values: Array, target: str, folder: Path | None) -> Model:
    """Return the network of a series: from the folder, or trained and stored there."""
    path = folder / f"{name.replace(', ', '-').replace(' ', '-')}.safetensors" if folder else None
    if path is not None and path.exists():
        return Model.load(path)
    model = train(names, values, target)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(path)
    return model


def present(rows: int, gap: int, seed: int) -> Array:
    """Return which values are there: all up to 60 %, then all but a share."""
    rng, first = np.random.default_rng(seed), int(0.6 * rows)
    there = np.ones(rows, bool)
    if gap == 1:
        there[first:] = rng.random(rows - first) >= SHARE
    while there[first:].mean() > 1 - SHARE:
        start = rng.integers(first, rows)
        there[start : start + rng.geometric(1 / gap)] = False
    return there


@kernel()
def _fill(S: Any, size: int, X: Any, Y: Any, F: int, K: Any) -> None:
    for b in range(X.shape[0]):
        fill_step(S, b * size, F, X[b], 0, Y[b], 0, K, 0)


class Filler:
    """Fills the target of one block of streams by one method."""

    def __init__(self, method: str, streams: int, model: Model, target: int) -> None:
        self.own, self._target, self._F = method == "own", target, model.input_size
        self.known = method == "known"
        methods = ["last"] * model.input_size
        methods[target] = "last" if self.own or self.known else method
        scaling = model.input_scaling
        self._K = fill.constants(methods, MAX_GAP, scaling.mean, scaling.scale)
        self._size = sum(fill.columns(methods).values())
        self._S = np.tile(fill.initial(methods), streams)

    def __call__(self, X: Array, forecast: Array) -> Array:
        """Fill the rows of a block; ``forecast`` is the network's of the target, or NaN."""
        if self.own:
            missing = np.isnan(X[:, self._target]) & np.isfinite(forecast)
            X[missing, self._target] = forecast[missing]
        Y = np.full_like(X, np.nan)
        Y[:, self._target] = forecast
        _fill(self._S, self._size, X, Y, self._F, self._K)
        return X


def errors(
    model: Model, values: Array, target: int, seeds: Sequence[int]
) -> dict[tuple[str, str], float]:
    """Return the mean absolute error after a missing row, by the kind of gaps and the method."""
    kinds = [(kind, seed) for kind in GAPS for seed in seeds]
    there = np.stack([present(len(values), GAPS[kind], seed) for kind, seed in kinds])
    fillers = [Filler(method, len(kinds), model, target) for method in METHODS]
    engine = Engine(model, capacity=len(METHODS) * len(kinds))
    ids = list(range(len(METHODS) * len(kinds)))
    forecast = np.full((len(METHODS), len(kinds)), np.nan, np.float32)
    sums = np.zeros((len(METHODS), len(kinds)))
    for t, row in enumerate(values[:-1]):
        X = np.tile(row, (len(METHODS), len(kinds), 1))
        lacks = ~np.array([filler.known for filler in fillers])[:, None] & ~there[:, t]
        X[lacks, target] = np.nan
        X = np.concatenate([fillers[n](X[n], forecast[n]) for n in range(len(METHODS))])
        forecast = engine.step_many(ids, X)[:, 0].reshape(forecast.shape)
        sums += np.abs(forecast - values[t + 1, target]) * ~there[:, t]
    sums /= (~there[:, :-1]).sum(axis=1)
    return {
        (kind, method): float(
            np.mean([sums[n, k] for k, each in enumerate(kinds) if each[0] == kind])
        )
        for n, method in enumerate(METHODS)
        for kind in GAPS
    }


def measure(
    group: dict[str, Series], data: Path, models: Path | None, seeds: Sequence[int]
) -> tuple[list[Row], dict[str, float], list[str]]:
    """Return the rows of the table, "predict" against "last" by series and gaps, what lacks."""
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    lacking = []
    for name, series in steps(list(group.items()), "missing"):
        path = data / series.file
        if not path.exists():
            lacking.append(name)
            continue
        names, values = read(path, series)
        model = model_of(name, names, values, series.target, models)
        found = errors(model, values, names.index(series.target), seeds)
        for kind in GAPS:
            row: Row = {"series": name, "gaps": kind}
            for method in METHODS[1:]:
                row[method] = found[kind, method] / found[kind, "last"]
            rows.append(row)
            ratios[f"missing/{name}/{kind}"] = found[kind, "predict"] / found[kind, "last"]
    return rows, ratios, lacking


def main() -> None:
    """Measure every series and print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--data", type=Path, required=True, help="folder with nab/ and ett/")
    options.add_argument("--models", type=Path, help="folder that keeps the trained networks")
    options.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    options.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of the gaps")
    arguments = options.parse_args()
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    lacking: list[str] = []
    notes = []
    for group in arguments.groups:
        series, models = GROUPS[group], arguments.models
        more, found, without = measure(series, arguments.data, models, arguments.seeds)
        rows, lacking = [*rows, *({"group": group, **row} for row in more)], lacking + without
        if found:
            worst, mean = max(found.values()), sum(found.values()) / len(found)
            notes.append(f"{group}: worst {worst:.3f}, mean {mean:.3f}")
            ratios |= {f"missing/worst, {group}": worst, f"missing/mean, {group}": mean, **found}
    if not rows:
        raise DataError(f"{arguments.data}: expected nab/ and ett/ with the series in them")
    if lacking:
        notes.append(f"Not there, left out: {', '.join(lacking)}.")
    report("missing", rows, ratios, arguments.json, "\n".join(notes), targets=TARGETS)


if __name__ == "__main__":
    main()
