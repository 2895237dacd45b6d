"""Watches twelve machines of different level with one detector; values are missing, and one fails.

python examples/plant.py
"""

import argparse

import numpy as np

from streamlstm import Engine, detector

MACHINES = [f"machine-{n}" for n in range(1, 13)]
FAILING, MINUTES_A_DAY = 6, 1440


def plant(days: int, seed: int) -> np.ndarray:
    """Return a simulated temperature of each machine and minute, float32[T, 12].

    Every machine has a level, a daily swing and noise of its own. One value in fifty is missing
    (NaN), machine-3 sends nothing for a quarter of an hour, and a bearing of machine-7 fails in the
    last three hours: it runs hotter and less evenly.
    """
    rng, T = np.random.default_rng(seed), days * MINUTES_A_DAY
    level, spread = rng.uniform(40, 900, 12), rng.uniform(0.5, 20, 12)
    day = np.sin(2 * np.pi * np.arange(T) / MINUTES_A_DAY)[:, None]
    noise = rng.standard_normal((T, 12))
    for t in range(1, T):  # what deviates goes back slowly
        noise[t] = 0.9 * noise[t - 1] + 0.4 * noise[t]
    values = level + spread * (2 * day + noise)
    values[-180:, FAILING] += spread[FAILING] * np.linspace(5, 15, 180) * rng.uniform(0.8, 1.2, 180)
    values[rng.random(values.shape) < 0.02] = np.nan
    values[T // 2 : T // 2 + 15, 2] = np.nan
    return values.astype(np.float32)


def main() -> None:
    """Print every alarm with what was expected, and how many values were inside the interval."""
    arguments = argparse.ArgumentParser(description="Watch machines that nobody has modelled.")
    arguments.add_argument("--days", type=int, default=3, help="of simulated minutes")
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()

    engine = Engine(detector(["temperature"], intervals=[0.9]))
    inside = compared = alarms = 0
    low = high = np.full(12, np.nan)
    for minute, values in enumerate(plant(given.days, given.seed)):
        told = engine.observe_many(MACHINES, values[:, None], times=[60.0 * minute] * 12)
        for n in np.flatnonzero(told.alarm):
            alarms += 1
            day, rest = divmod(minute, MINUTES_A_DAY)
            came = "nothing" if np.isnan(values[n]) else f"{values[n]:.1f}"
            print(
                f"day {day + 1} {rest // 60:02}:{rest % 60:02}  {MACHINES[n]:10} {told.kind[n]:8} "
                f"{came} came, expected {low[n]:.1f} to {high[n]:.1f}"
            )
        known = ~np.isnan(values) & ~np.isnan(low)
        compared += known.sum()
        inside += (known & (low <= values) & (values <= high)).sum()
        low, high = told.low[:, 0], told.high[:, 0]
    print(f"{alarms} alarms; {inside / compared:.1%} of {compared:,} values inside their interval")


if __name__ == "__main__":
    main()
