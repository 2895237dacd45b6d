"""Shows the forget gate of a character model at full stops.

python examples/gates_text.py --out gates_text.png

The model, made by examples/gates_text_train.py, predicts the next character of this project's
prose. It was trained on sentences in random order, so nothing before a full stop helps to predict
the text after it. The units that forget there are chosen on one half of the held-back sentences and
measured on the other half.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

from streamlstm import Model
from streamlstm.inside import draw, record

MODEL = Path(__file__).parent / "models" / "text.safetensors"
TEXT = "A worker keeps its state. The forget gate is open, as it should be. A new line begins here."
LSTM_LAYER = 1
UNITS = 8  # units that are shown
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 76  # characters a line in a pipe


def forget_gates(model: Model, text: str) -> NDArray[np.float32]:
    """Return the forget gate at each character of a text, float32[T, H]."""
    (layer,) = record(model, encode(model, text), layers=[LSTM_LAYER]).layers
    return layer.forget_gate


def encode(model: Model, text: str) -> NDArray[np.float32]:
    """Return the index of each character in the model's alphabet, float32[T, 1]."""
    unknown = sorted(set(text) - set(model.outputs))
    if unknown:
        raise SystemExit(f"the model does not know {' '.join(unknown)}; leave that out")
    return np.array([[model.outputs.index(character)] for character in text], np.float32)


def is_stop(text: str) -> NDArray[np.bool_]:
    """Return a mask of the full stops, bool[T]."""
    return np.array([character == "." for character in text])


def find_units(model: Model, text: str) -> NDArray[np.intp]:
    """Return the units whose forget gate falls most at full stops, the strongest first."""
    gates, stop = forget_gates(model, text), is_stop(text)
    fall = gates[~stop].mean(axis=0) - gates[stop].mean(axis=0)
    return np.argsort(-fall)[:UNITS]


def print_measurements(model: Model, text: str, units: NDArray[np.intp]) -> None:
    """Print how far the forget gates fall, on a text that was not used to choose the units."""
    every = forget_gates(model, text)
    gates, stop = every[:, units].mean(axis=1), is_stop(text)
    print(f"{stop.sum()} held-back sentences, {len(text)} characters.")
    print(f"The forget gate, mean of the {len(units)} units that react most (1 keeps, 0 forgets):")
    for name, chosen in (
        ("at a full stop", stop),
        ("elsewhere", ~stop),
        ("  at a comma", np.array([character == "," for character in text])),
        ("  at a space", np.array([character == " " for character in text])),
    ):
        print(f"  {name:<16}{gates[chosen].mean():.2f}")
    at, elsewhere = every[stop].mean(), every[~stop].mean()
    print(f"Mean of all {every.shape[1]} units: {at:.2f} and {elsewhere:.2f}.\n")


def show(text: str, gate: NDArray[np.float32]) -> None:
    """Print a text coloured by its forget gate; into a pipe with bars below the text."""
    console = Console(highlight=False)
    if console.is_terminal:
        shown = Text()
        for character, value in zip(text, gate, strict=True):
            dark, light = (0, 34, 78), (254, 232, 56)  # the ends of cividis, as in the picture
            mixed = [round(a + float(value) * (b - a)) for a, b in zip(dark, light, strict=True)]
            ink = "black" if value > 0.45 else "white"
            shown.append(character, f"{ink} on rgb({mixed[0]},{mixed[1]},{mixed[2]})")
        console.print(shown)
        console.print("yellow keeps, blue forgets")
        return
    bars = "".join(BARS[min(int(value * len(BARS)), len(BARS) - 1)] for value in gate)
    for at in range(0, len(text), WIDTH):
        print(text[at : at + WIDTH])
        print(bars[at : at + WIDTH])
    print("the bars are the forget gate: high keeps, low forgets")


def main() -> None:
    """Choose the units, measure and show them."""
    arguments = argparse.ArgumentParser(description="Show the forget gate at full stops.")
    arguments.add_argument("--text", default=TEXT, help="the text to read")
    arguments.add_argument("--out", default="gates_text.png", help=".png, .svg or .pdf")
    given = arguments.parse_args()

    model = Model.load(MODEL)
    encoded = encode(model, given.text)
    held_back = model.metadata["held_back"].split("\n")
    units = find_units(model, " ".join(held_back[::2]) + " ")
    print_measurements(model, " ".join(held_back[1::2]) + " ", units)
    recording = record(model, encoded, layers=[LSTM_LAYER], units=units.tolist())
    show(given.text, recording.layers[0].forget_gate.mean(axis=1))
    stops = 1.0 + np.flatnonzero(is_stop(given.text))
    draw(
        recording,
        given.out,
        labels=given.text,
        marks=stops.tolist(),
        title="At a full stop these units forget: what they kept of a sentence is gone",
    )
    print(f"\nwrote {given.out}; dashed lines are full stops")


if __name__ == "__main__":
    main()
