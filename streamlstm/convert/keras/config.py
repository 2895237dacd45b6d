"""Reads names, shapes and slices in configurations of layers."""

from typing import Any

from .file import Config


def layer_name(layer: Config) -> str:
    """Return the name of a layer."""
    return str(layer.get("name", layer["config"].get("name")))


def input_shape(config: Config) -> list[int | None] | None:
    """Return the shape of an input, batch axis included, if its configuration has it."""
    for key in ("batch_shape", "batch_input_shape"):
        if isinstance(config.get(key), list):
            return list(config[key])
    return None


def read_index(calls: Any, rank: int) -> int | None:
    """Return the index into the last axis, if all of the other axes is selected.

    Parameters
    ----------
    calls, rank
        As for :func:`read_slice`.
    """
    parts = read_parts(calls, rank)
    index = parts[-1] if len(parts) == rank else None
    others = all(part == slice(None) for part in parts[:-1])
    return index if others and isinstance(index, int) else None


def read_slice(calls: Any, rank: int) -> slice | None:
    """Return the slice of the last axis, if the other axes keep all, or of time the last step.

    Parameters
    ----------
    calls : list
        ``inbound_nodes`` of a GetItem (Keras 3) or SlicingOpLambda (Keras 2).
    rank : int
        Rank of the tensor, batch axis included.
    """
    parts = read_parts(calls, rank)
    if len(parts) != rank or parts[0] != slice(None):
        return None
    time = parts[1:-1]
    if any(part not in (slice(None), -1, slice(-1, None)) for part in time):
        return None
    return parts[-1] if isinstance(parts[-1], slice) and parts[-1].step in (None, 1) else None


def takes_last(calls: Any, rank: int) -> bool:
    """Return whether a slice, of which :func:`read_slice` returns one, takes the last step."""
    return any(part in (-1, slice(-1, None)) for part in read_parts(calls, rank)[1:-1])


def read_rows(calls: Any) -> tuple[slice, bool] | None:
    """Return which neighbouring rows a slice of [batch, rows, features] takes; None of all others.

    Those are slices that take all rows, or the last one, which :func:`read_slice` reads. Also
    return whether it is a single row, whose axis is gone then.
    """
    parts = read_parts(calls, 3)
    if len(parts) != 3 or parts[0] != slice(None) or parts[2] != slice(None):
        return None
    rows = parts[1]
    if isinstance(rows, int) and rows != -1:
        return slice(rows, rows + 1), True
    if not isinstance(rows, slice) or rows in (slice(None), slice(-1, None)):
        return None
    return (rows, False) if rows.step in (None, 1) else None


def read_parts(calls: Any, rank: int) -> list[Any]:
    """Return an index, a slice or None for each axis; of another length if they do not fit.

    Parameters
    ----------
    calls, rank
        As for :func:`read_slice`.
    """
    parts = [_part(part) for part in _spec(calls)]
    if ... in parts:
        at = parts.index(...)
        parts[at : at + 1] = [slice(None)] * (rank - len(parts) + 1)
    return [*parts, *[slice(None)] * (rank - len(parts))]


def _spec(calls: Any) -> list[Any]:
    call = calls[0] if isinstance(calls, list) and calls else None
    if isinstance(call, dict):  # Keras 3: the tensor, then the slices
        args = call.get("args", [])
        return list(args[1]) if len(args) > 1 and isinstance(args[1], list) else list(args[1:])
    options = call[3] if isinstance(call, list) and len(call) > 3 else {}
    found = options.get("slice_spec", []) if isinstance(options, dict) else []
    return list(found) if isinstance(found, list) else [found]


def _part(part: Any) -> Any:
    """Return an index, slice or ellipsis as a Python object; None if it is neither."""
    if isinstance(part, dict):
        values = part.get("config", part)
        if part.get("class_name") == "__ellipsis__" or "Ellipsis" in str(part.get("class_name")):
            return ...
        if isinstance(values, dict) and {"start", "stop"} <= values.keys():
            return slice(values["start"], values["stop"], values.get("step"))
        return None
    if part in ("...", "Ellipsis"):
        return ...
    return part
