"""Shows how gates react to a change of regime: a slow swing, a hunting controller, and back.

python examples/gates_regime.py --out gates_regime.png

In the slow swing the noise is large, so the past matters. While the controller hunts, each value
throws the next one to the other side, so only the last value matters. The network has no input for
the regime; it was trained to predict the next value, by these commands:

python examples/gates_regime.py --write-series regime.csv
streamlstm train regime.csv --target temperature --hidden 8 --no-skip --window 96 --delta 1 \
--rate 0.01 --season 90 --epochs 200 --out examples/models/regime.safetensors
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamlstm import Model
from streamlstm.inside import draw, record

MODEL = Path(__file__).parent / "models" / "regime.safetensors"
BEFORE, AT, AFTER = (-40, 0), (0, 8), (40, 80)  # steps around a change


def series(rows: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Generate float32[rows] temperatures, and the rows at which the regime changes."""
    rng = np.random.default_rng(seed)
    values, changes = np.empty(rows), []
    hunting, phase, left = False, 0.0, int(rng.integers(120, 260))
    for t in range(rows):
        if left == 0:
            hunting, left = not hunting, int(rng.integers(120, 260))
            changes.append(t)
        left -= 1
        if hunting:
            values[t] = 20 - 0.95 * (values[t - 1] - 20) + 1.6 * rng.standard_normal()
        else:
            phase += 2 * np.pi / 90
            values[t] = 20 + 5 * np.sin(phase) + 1.5 * rng.standard_normal()
    return values.round(2).astype(np.float32), np.array(changes, np.intp)


def around(gate: NDArray[np.float32], changes: NDArray[np.intp], span: tuple[int, int]) -> float:
    """Return the mean of a gate[T, H] over all units, ``span`` steps around the changes."""
    rows = (changes[:, None] + np.arange(*span)).ravel()
    return float(gate[rows[rows < len(gate)]].mean())


def print_measurements(model: Model) -> None:
    """Print the gates around changes, measured on a series that was not used in training."""
    values, changes = series(4000, seed=2)
    (layer,) = record(model, values[:, None]).layers
    print(f"{len(changes)} changes of regime in {len(values)} rows; gates are means over all units")
    for first, event in ((0, "begins"), (1, "ends")):
        print(f"\nHunting {event} ({len(changes[first::2])} times):")
        for name, gate in (("forget", layer.forget_gate), ("input", layer.input_gate)):
            before, at, after = (
                around(gate, changes[first::2], span) for span in (BEFORE, AT, AFTER)
            )
            direction = "falls" if after < before else "rises"
            print(
                f"  the {name} gate {direction}: {before:.2f} in the 40 rows before, {at:.2f} in "
                f"the first 8 rows, {after:.2f} from the 40th to the 80th"
            )
    hunting = around(layer.forget_gate, changes[::2], AFTER)
    swing = around(layer.forget_gate, changes[1::2], AFTER)
    print(
        f"\nOf its memory a cell keeps {100 * hunting:.0f} % from one row to the next in hunting, "
        f"{100 * swing:.0f} % in the slow swing."
    )


def main() -> None:
    """Measure the gates, and draw a part of the series."""
    arguments = argparse.ArgumentParser(description="Show gates at a sudden change of regime.")
    arguments.add_argument("--out", default="gates_regime.png", help=".png, .svg or .pdf")
    arguments.add_argument("--write-series", metavar="CSV", help="only write the training data")
    given = arguments.parse_args()

    if given.write_series:
        values, _ = series(20_000, seed=0)
        lines = "".join(f"{value}\n" for value in values)
        Path(given.write_series).write_text("temperature\n" + lines)
        return
    model = Model.load(MODEL)
    print_measurements(model)
    values, changes = series(760, seed=2)
    draw(
        record(model, values[:, None]),
        given.out,
        marks=(1.0 + changes).tolist(),
        title="Slow swing, hunting, slow swing: what the network keeps and what it lets in",
    )
    print(f"\nwrote {given.out}; dashed lines are the changes")


if __name__ == "__main__":
    main()
