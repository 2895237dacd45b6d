"""What a file holds beside its network and changes what its program computes.

A scaler, the rows of a window, other weights: none of it is used, and none is left out unsaid.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from .weights import Float64Array

# Words of names: of what trains a network and changes no prediction; of a scaler's numbers; and
# with which "min" and "max" are those of a scaler too.
_TRAINING = re.compile(
    r"optim(izers?)?|sched(ulers?)?|lr|loss(es)?|history|callbacks|loops|epochs?|steps?|metrics?|"
    r"seed|rng|version|best|patience|grad(ient)?|momentum|dropout|noise|criterion|logger|accuracy|"
    r"score|mse|mae|rmse|weight|decay"
)
_SCALES = re.compile(
    r"scal(ers?|e|ing)|means?|mu|std|stdev|sigma|var|variance|normali[sz](ers?|ation)|cent(er|re)|"
    r"offset|[xy]m(in|ax)"
)
_BOUND = re.compile(r"min|max|minimum|maximum")
_OF_WHAT = re.compile(
    r"[xy01]|in|out|inputs?|outputs?|targets?|features?|data|train|labels?|val|values?|scaler|norm"
)
_GRADIENTS = {"growth_factor", "growth_interval", "backoff_factor"}  # of torch's GradScaler
_ROWS = re.compile(
    r"window(_?(size|len(gth)?))?|seq(uence)?_?len(gth)?|look_?back|n_?(time)?steps(_in)?|"
    r"time_?steps|input_?(chunk_?)?len(gth)?|(context|history)_?len(gth)?",
    re.IGNORECASE,
)
_SHOWN = 12  # numbers of a vector that are written out


def notes_on(
    source: Mapping[Any, Any], used: Mapping[Any, Any], given: Collection[str], what: str
) -> list[str]:
    """Return sentences on what a file holds beside the weights that are read.

    Parameters
    ----------
    source : mapping
        All that the file holds, such as a checkpoint.
    used : mapping
        The weights in it, which are read.
    given : collection of str
        Options of the caller, of which nothing needs to be said.
    what : str
        The file, as the start of a sentence: "The checkpoint".
    """
    weights = {id(tensor) for tensor in used.values()}
    left = [(path, value) for path, value in _walk(source, ()) if id(value) not in weights]
    scales = {path: value for path, value in left if _is_scale(path, value)}
    notes = []
    if scales and not {"input_scaling", "output_scaling"} & {*given}:
        notes.append(_say_scales(scales, what))
    for path, value in left:
        rows = _rows(path, value)
        if rows and "window" not in given:
            notes.append(
                f"{what} says {'.'.join(path)} = {rows}: if these are the rows of the windows it "
                f"was trained on, give window={rows} (--window {rows})."
            )
    others = dict.fromkeys(
        path[0] for path, value in left if path not in scales and _is_weight(path, value)
    )
    if others:
        notes.append(
            f"{what} also holds weights under {', '.join(others)}, which were not used: to use "
            "them, load it and give a dict of the layers that you mean."
        )
    return notes


def notes_on_texts(texts: Mapping[str, str], given: Collection[str], what: str) -> list[str]:
    """Return sentences on metadata, of which the values are texts, maybe JSON."""
    return notes_on(parse_texts(texts), {}, given, what)


def parse_texts(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return texts that are JSON as what they say, others as they are."""
    found: dict[str, Any] = {}
    for key, text in texts.items():
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found


def _rows(path: Sequence[str], value: Any) -> int:
    """Return the rows of a window that a value says; 0 if it is none."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return int(value) if whole and int(value) > 1 and _ROWS.fullmatch(path[-1]) else 0


def _walk(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and value of all that is neither a mapping nor part of the training."""
    items = value if isinstance(value, Mapping) else getattr(value, "__dict__", None)
    if not isinstance(items, Mapping) or hasattr(value, "shape"):
        if path:
            yield path, value
        return
    if items.keys() >= _GRADIENTS:
        return
    for key, inner in items.items():
        name = str(key)
        if _ROWS.fullmatch(name) or "." in name or not _any(_TRAINING, name):
            yield from _walk(inner, (*path, name))


def _words(name: str) -> list[str]:
    """Return the words of a name: of scalerMean, scaler_mean and data_min_ alike."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name)]


def _any(pattern: re.Pattern[str], name: str) -> bool:
    return any(pattern.fullmatch(word) for word in _words(name))


def _is_scale(path: Sequence[str], value: Any) -> bool:
    """Return whether a value is numbers under a name of a scaler."""
    if "." in path[-1] or _numbers(value) is None:
        return False
    if _any(_SCALES, path[-1]):
        return True
    bounds = [word for word in _words(path[-1]) if not _OF_WHAT.fullmatch(word)]
    return bool(bounds) and all(_BOUND.fullmatch(word) for word in bounds)


def _numbers(value: Any) -> Float64Array | None:
    """Return numbers of a scaler, float64[N]; None if it is none."""
    if isinstance(value, bool | str) or value is None:
        return None
    if not (isinstance(value, Real | list | tuple) or hasattr(value, "shape")):
        return None
    try:
        array = np.asarray(
            value.detach().cpu().double() if hasattr(value, "detach") else value, np.float64
        )
    except (TypeError, ValueError):
        return None
    return array.reshape(-1) if array.size else None


def _is_weight(path: Sequence[str], value: Any) -> bool:
    return path[-1].rpartition(".")[2].startswith(("weight", "bias")) and hasattr(value, "shape")


def _say_scales(scales: Mapping[tuple[str, ...], Any], what: str) -> str:
    shown = ", ".join(f"{'.'.join(path)} = {_written(value)}" for path, value in scales.items())
    return (
        f"{what} holds a scaler beside the weights, which was not used: {shown}. If its "
        "program scales rows by it before the network, or scales predictions back, give that as "
        'input_scaling={"mean": [...], "scale": [...]} or {"min": [...], "max": [...]}, and '
        "output_scaling= (--input-scaling, --output-scaling scaler.json)."
    )


def _written(value: Any) -> str:
    array = _numbers(value)
    assert array is not None
    if array.size > _SHOWN:
        return f"{array.size} numbers"
    written = ", ".join(f"{number:.6g}" for number in array)
    return written if array.size == 1 else f"[{written}]"
