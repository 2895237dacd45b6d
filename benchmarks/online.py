"""What the head that learns and the mix of forecasts gain, and what they cost, next to River.

    python -m benchmarks.online [--data DIR] [--cache DIR] [--json FILE]

A network is trained by the defaults of `streamlstm train` on the first half of a series, alone:
without the linear part that `train` puts beside it. Then it is stepped over the rest as one new
stream, and its error on the last 40 % of the series is taken, one step and 24 steps ahead, in
multiples of persistence's: of the network alone, of its head that learns, and of the mix. Settings
were chosen on three of the series; the others are told apart.

DIR holds `nab/data` of NAB (numenta/NAB) and `ett/ETTh1.csv` (zhouhaoyi/ETDataset); what is not
there is left out. River's SNARIMAX learns from the whole series; errors are of the same rows.

Times are those of a recording: `engine.observe_run` of the network with a head (or the mix alone),
an interval and an anomaly score, against River's SNARIMAX with an interval of two quantiles of its
errors and its GaussianScorer of them; all are times of the processor. "head ns" is the share of
head and mix.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamlstm import Engine, Online
from streamlstm.kernels import reference
from streamlstm.kernels.online import adaptation as kernel
from streamlstm.kernels.pointers import floats_at
from streamlstm.network.model import Model
from streamlstm.online.adaptation import Adaptation, columns, constants, initial

from .harness import Row, parser, report, steps
from .online_series import CHOSEN_ON, TRAIN, Series, load, network

HIDDEN, HORIZONS, SCORED = 32, (1, 24), 0.4
DIVERGED = 1000.0  # times persistence's error
TARGETS = {
    "1 ahead: adapted / static, highest": 1.0,
    "1 ahead: mix / static, highest": 1.0,
    "1 ahead: mix / static, mean": 0.97,
    "24 ahead: mix / best of static and naive, highest": 1.02,
    "24 ahead: mix / static, mean": 0.9,
    "time of River / ours with the head, lowest": 1000.0,
    "1 ahead: mix / River, highest": 1.0,
}
Float32Array = NDArray[np.float32]


@njit(error_model="numpy")
def _run(S, K, W, hidden, H, X, Y, A, adapted, steps):
    """Step a stream over a series; Y holds the network's forecasts, then the mix's; A the head's.

    All but the sizes are addresses: arrays of Python would be counted in every call.
    """
    S, K, W = floats_at(S, 1 << 40), floats_at(K, 1 << 40), floats_at(W, 1 << 40)
    X, Y, A = floats_at(X, 1 << 40), floats_at(Y, 1 << 40), floats_at(A, 1 << 40)
    sizes = kernel.sizes_of(K, 0)
    for t in range(steps):
        kernel.update(S, 0, sizes, K, 0, X, t, W, 0)
        here = adapted + int(S[0]) * int(A[t])  # of this step in the ring
        kernel.predict(S, 0, sizes, K, 0, hidden + t * H, X, t, Y, t, t, W, 0)
        A[t] = S[here]


def states(model: Model, values: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return the last hidden states float32[n, H] of a network over a series, and its forecasts."""
    layer, dense = model.weights
    state = {name: np.zeros((1, HIDDEN), np.float32) for name in "hc"}
    H = np.zeros((len(values), HIDDEN), np.float32)
    for t, x in enumerate(model.input_scaling.apply(values).astype(np.float32)):
        _, state = reference.lstm(x[None], state, layer)
        H[t] = state["h"]
    y = model.output_scaling.invert(H @ dense["weight"].T + dense["bias"])[:, 0]
    if model.skip and model.skip[0] >= 0:
        y = y + values[:, model.skip[0]]
    return H, y.astype(np.float32)


def forecasts(
    model: Model, H: Float32Array, y: Float32Array, now: Float32Array, seasons: Sequence[int]
) -> tuple[dict[str, Float32Array], float]:
    """Return what the head and the mix forecast at each row, and the seconds a step."""
    head = Adaptation(
        HIDDEN, model.horizon, (float(model.output_scaling.scale[0]),), tuple(seasons)
    )
    names = list(columns(head).values())
    width = names[-1] // head.kept
    place = sum(names[:-1]) + kernel.FORECASTS + kernel.EXPERTS + head.experts - 1
    row = initial(head)
    S = _aligned(len(row) + H.size)
    K, W = constants(head), _aligned(head.scratch)
    best = np.inf
    for _ in range(3):
        S[: len(row)], S[len(row) :] = row, H.ravel()
        mixed, adapted = y.copy(), np.full(len(y), width, np.float32)
        addresses = [a.ctypes.data for a in (S, K, W)]
        series = [a.ctypes.data for a in (now, mixed, adapted)]
        start = time.thread_time()
        _run(*addresses, len(row), HIDDEN, *series, place, len(y))
        best = min(best, (time.thread_time() - start) / len(y))
    return {"adapted": adapted, "mix": mixed}, best


def _aligned(floats: int) -> Float32Array:
    """Return zeros that begin at a cache line, as the state and the working memory of engines."""
    block = np.zeros(floats + 16, np.float32)
    start = -(block.ctypes.data // 4) % 16
    return block[start : start + floats]


def run_seconds(model: Model, values: Float32Array, adapt: str, season: int) -> float:
    """Return the seconds a step of ``observe_run`` with an interval and an anomaly score."""
    targets = (model.inputs.index(model.outputs[0]),)
    stage = Online(
        adapt=adapt, season=season, intervals=(0.9,), anomaly=True, scale="model", targets=targets
    )
    engine, best = Engine(model.with_online(stage), 4, threads=1), np.inf
    for n in range(3):
        start = time.thread_time()
        engine.observe_run(f"s{n}", values)
        best = min(best, (time.thread_time() - start) / len(values))
    return best


def naive(y: Float32Array, season: int, horizon: int) -> Float32Array:
    """Return the forecast of the value of a season before; the current value in the first."""
    lag, forecast = season * -(-horizon // season), y.copy()
    forecast[lag - horizon :] = y[: len(y) - lag + horizon]
    return forecast


def error(forecast: Float32Array, y: Float32Array, horizon: int) -> float:
    """Return the mean absolute error of a forecast of the last rows of y, on those scored."""
    rows = int(SCORED * len(y))
    missed = forecast[len(forecast) - rows : -horizon] - y[len(y) - rows + horizon :]
    return float(np.abs(missed).mean(dtype=np.float64))


def river_models(season: int) -> list[Callable[[], Any]]:
    """Return River's models, made as its documentation shows; none if it is not installed."""
    try:
        make = import_module("river.time_series").SNARIMAX
        linear = import_module("river.linear_model").LinearRegression
        scaler = import_module("river.preprocessing").StandardScaler
    except ImportError:
        return []
    sizes = ({"p": 12, "d": 0, "q": 0}, {"p": 2, "d": 1, "q": 2})
    seasonal = {"p": 2, "d": 1, "q": 0, "m": season, "sp": 1, "sq": 0}
    return [
        *(partial(make, **size) for size in sizes),
        *(lambda n=n: make(**n, regressor=scaler() | linear()) for n in (*sizes, seasonal)),
    ]


def river(series: Series, horizon: int) -> tuple[float, float] | None:
    """Return the lowest error of River's models, and the seconds a step of the one that has it."""
    y, found = series.y, []
    for make in river_models(series.seasons[0]):
        forecast, start = y.copy(), time.thread_time()
        step_river(make(), y.tolist(), horizon, series.seasons[0] + 24, forecast)
        found.append((error(forecast, y, horizon), (time.thread_time() - start) / len(y)))
    return min(found, default=None)


def step_river(
    model: Any, values: Sequence[float], horizon: int, quiet: int, forecast: Float32Array
) -> None:
    """Step a model of River, with an interval and an anomaly score, and write its forecasts."""
    quantile = import_module("river.stats").Quantile
    low, high, scorer = (
        quantile(0.05),
        quantile(0.95),
        import_module("river.anomaly").GaussianScorer(),
    )
    for t, value in enumerate(values):
        if t - horizon > quiet:
            missed = value - float(forecast[t - horizon])
            scorer.score_one(None, missed)
            scorer.learn_one(None, missed)
            low.update(missed)
            high.update(missed)
        model.learn_one(value)
        if t > quiet:
            forecast[t] = np.clip(model.forecast(horizon)[-1], -3e38, 3e38)


def measure(series: Series, horizon: int, cache: Path) -> Row:
    """Return the errors of one series and horizon, and the times of a step."""
    y = series.y
    model = network(series, horizon, HIDDEN, cache)
    start = int(TRAIN * len(y))
    H, static = states(model, series.values[start:])
    told, seconds = forecasts(model, H, static, y[start:], series.seasons)
    told["static"] = static
    persistence = error(y, y, horizon)
    row: Row = {
        "series": series.name,
        "chosen on": "yes" if series.name in CHOSEN_ON else "no",
        "ahead": str(horizon),
        **{
            name: error(told[name], y, horizon) / persistence
            for name in ("static", "adapted", "mix")
        },
        "naive": min(error(naive(y, s, horizon), y, horizon) for s in series.seasons) / persistence,
        "head ns": seconds * 1e9,
        "mix, run ns": run_seconds(model, series.values, "mix", series.seasons[0]) * 1e9,
        "head, run ns": run_seconds(model, series.values, "rls", series.seasons[0]) * 1e9,
    }
    peer = river(series, horizon)
    if peer is not None:
        missed = peer[0] / persistence
        row |= {"River": missed if missed < DIVERGED else None, "River us a step": peer[1] * 1e6}
    return row


def ratios(rows: Sequence[Row], kind: str) -> dict[str, float]:
    """Return the figures that the targets are about, of these rows."""

    def over(ahead: int, name: str, *others: str) -> NDArray[np.float64]:
        return np.array(
            [
                float(row[name] or 0) / min(float(row[other] or np.inf) for other in others)
                for row in rows
                if row["ahead"] == str(ahead) and all(other in row for other in others)
            ]
        )

    found = {
        "1 ahead: adapted / static, highest": over(1, "adapted", "static").max(),
        "1 ahead: adapted / static, mean": over(1, "adapted", "static").mean(),
        "1 ahead: mix / static, highest": over(1, "mix", "static").max(),
        "1 ahead: mix / static, mean": over(1, "mix", "static").mean(),
        "24 ahead: mix / best of static and naive, highest": over(
            24, "mix", "static", "naive"
        ).max(),
        "24 ahead: mix / static, mean": over(24, "mix", "static").mean(),
    }
    if all("River" in row for row in rows):
        found["1 ahead: mix / River, highest"] = over(1, "mix", "River").max()
        for name in ("head", "mix"):
            times = [
                float(row["River us a step"] or 0) * 1e3 / float(row[f"{name}, run ns"] or 1)
                for row in rows
            ]
            found[f"time of River / ours with the {name}, lowest"] = min(times)
            found[f"time of River / ours with the {name}, highest"] = max(times)
    return {f"{name}{kind}": float(value) for name, value in found.items()}


def main() -> None:
    """Measure every series and print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--data", type=Path, default=Path("data"), help="the folder of the series")
    options.add_argument(
        "--cache", type=Path, default=Path("models"), help="where trained networks are kept"
    )
    arguments = options.parse_args()
    found = load(arguments.data)
    if not found:
        raise SystemExit(f"{arguments.data}: expected nab/data or ett/ETTh1.csv in this folder")
    cases = [(series, horizon) for horizon in HORIZONS for series in found]
    rows = [measure(series, horizon, arguments.cache) for series, horizon in steps(cases, "online")]
    figures = ratios(rows, "")
    for kind, answer in ((" (chosen on)", "yes"), (" (the others)", "no")):
        if some := [row for row in rows if row["chosen on"] == answer]:
            figures |= ratios(some, kind)
    note = "Errors in multiples of persistence's."
    for name, value in figures.items():
        note += f"\n{value:10.3f}  {name}" + (
            f", target {TARGETS[name]:g}" if name in TARGETS else ""
        )
    if any("River" in row and row["River"] is None for row in rows):
        note += "\nNo error of River: all of its models diverged."
    if "River" not in rows[0]:
        note += "\nNot installed, left out: River (pip install river)."
    report("online", rows, figures, arguments.json, note, TARGETS)


if __name__ == "__main__":
    main()
