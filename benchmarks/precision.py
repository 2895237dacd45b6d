"""What do narrow weights cost in quality? Errors of trained models on what they have not seen.

    python -m benchmarks.precision [--data DIR] [--json FILE]

The shipped models: of this project's prose (perplexity of the next character on the sentences that
were held back), of a machine's load and of changes of regime (mean absolute errors on the last
tenth of the recording, and on another series). With DIR, which holds `nab` of NAB (numenta/NAB) and
`ett/ETTh1.csv` (zhouhaoyi/ETDataset), also what `streamlstm train` makes of two files by its
defaults and with more hidden units, on their test periods, and the detector's score at NAB. All run
as they are served, by the engine, on this processor. Target: within half a percent of float32.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlstm import Engine, Model
from streamlstm.data.options import ReadOptions
from streamlstm.data.read import read_table
from streamlstm.learn.model_inputs import inputs_of
from streamlstm.learn.training import train

from .forecast import COMMANDS
from .harness import Row, number, parser, report, steps
from .nab import detect
from .nab_scorer import all_profiles, load

ROOT = Path(__file__).parents[1]
SHORT = ("float16", "bfloat16", "int8")
HIDDEN = (64, 128)
TARGET = 0.005
Array = NDArray[Any]


class Case(NamedTuple):
    """A model and how good it is with weights of a precision."""

    name: str
    H: int
    measure: str
    score: Callable[[str], float]


def predictions(model: Model, weights: str, streams: Array, times: Array | None = None) -> Array:
    """Return the predictions float[S, T, O] of streams float[S, T, F], each from a fresh state."""
    engine = Engine(model, len(streams), threads=1, weights=weights)
    moments = None if times is None else times.tolist()
    return np.stack([engine.run(n, X, moments) for n, X in enumerate(streams)])


def perplexity(model: Model, weights: str, characters: Array) -> float:
    """Return the perplexity of the next character, whose probability the model gives."""
    (made,) = predictions(model, weights, characters[None])
    came = characters[1:, 0].astype(int)
    return float(np.exp(-np.log(made[np.arange(len(came)), came]).mean()))


def mean_error(
    model: Model, streams: Array, truth: Array, first: int, times: Array | None, weights: str
) -> float:
    """Return the mean absolute error of what was said of the rows from ``first`` on."""
    made = predictions(model, weights, streams, times)[..., 0]
    T, horizon = truth.shape[1], model.horizon
    return float(np.abs(made[:, first - horizon : T - horizon] - truth[:, first:]).mean())


def shipped() -> Iterator[Case]:
    """Yield the models that come with the project."""
    text = Model.load(ROOT / "examples/models/text.safetensors")
    held_back = " ".join(text.metadata["held_back"].split("\n")) + " "
    characters = import_module("examples.gates_text").encode(text, held_back)
    yield Case("text", 72, "perplexity", lambda w: perplexity(text, w, characters))
    host = Model.shipped()
    table = read_table(ROOT / "examples/data/host.csv.gz", ReadOptions(stream_column="stream"))
    streams = np.stack([table.values[rows] for rows in table.groups().values()])
    first = int(0.9 * streams.shape[1])
    yield Case("host", 32, "MAE", partial(mean_error, host, streams, streams[..., 0], first, None))
    regime = Model.load(ROOT / "examples/models/regime.safetensors")
    values = import_module("examples.gates_regime").series(4000, seed=2)[0][None]
    yield Case("regime", 8, "MAE", partial(mean_error, regime, values[..., None], values, 1, None))


def trained(folder: Path) -> Iterator[Case]:
    """Yield what training makes of the files in a folder."""
    for name, path, target in COMMANDS:
        for hidden in HIDDEN:
            model = train(folder / path, target=target, hidden=hidden).model
            table = read_table(folder / path, ReadOptions())
            ((_, (_, first)),) = json.loads(model.metadata["periods"])["ends"].items()
            X, truth = inputs_of(model, table)[None], table.select([target]).T
            score = partial(mean_error, model, X, truth, first, table.time)
            yield Case(name, hidden, "MAE", score)


def detector(folder: Path) -> Iterator[Case]:
    """Yield the detector, whose score at NAB is better the higher it is."""
    series = load(folder / "nab")

    def score(weights: str) -> float:
        return all_profiles(series, [detect(one, weights) for one in series])["standard"]

    if series:
        yield Case("detector", 16, "NAB score", score)


def measured(case: Case) -> Row:
    """Return the score with float32, and how many percent those with short weights differ."""
    exact = case.score("float32")
    row: Row = {"model": case.name, "H": str(case.H), "measure": case.measure, "float32": exact}
    for weights in SHORT:
        row[f"{weights}, %"] = 100 * (case.score(weights) / exact - 1)
    return row


def main() -> None:
    """Score every model and print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--data", type=Path, help="folder with nab/ and ett/")
    arguments = options.parse_args()
    cases = list(shipped())
    if arguments.data is not None:
        cases += [*trained(arguments.data), *detector(arguments.data)]
    rows = [measured(case) for case in steps(cases, "precision")]
    changes = {
        f"{row['model']}, H = {row['H']}, {weights}": abs(number(row[f"{weights}, %"])) / 100
        for row in rows
        for weights in SHORT
    }
    targets = dict.fromkeys(changes, TARGET)  # or less
    report("precision", rows, changes, arguments.json, targets=targets)


if __name__ == "__main__":
    main()
