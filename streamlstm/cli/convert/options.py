"""Parses the options of `streamlstm convert` into keyword arguments of the readers."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamlstm.errors import ConvertError

# The option of each keyword of the readers.
OPTIONS = {
    "activations": "--activation",
    "rnn_activation": "--rnn-activation",
    "epsilon": "--epsilon",
    "bidirectional": "--bidirectional",
    "module": "--module",
    "output": "--output",
    "inputs": "--inputs",
    "outputs": "--outputs",
    "input_scaling": "--input-scaling, --input-mean and --input-scale",
    "output_scaling": "--output-scaling, --output-mean and --output-scale",
    "skip": "--skip",
    "skip_scale": "--skip-scale",
    "horizon": "--horizon",
    "window": "--window or --stateful",
    "start": "--start",
    "metadata": "--metadata",
}


def check_applies(file: Path, kind: str, given: Mapping[str, Any]) -> None:
    """Refuse options that the reader of a file does not take.

    Parameters
    ----------
    file : Path
        The file of the network.
    kind : str
        Its kind, from :func:`streamlstm.convert.detect.detect`.
    given : mapping
        The given options by the keywords of the readers.

    Raises
    ------
    ConvertError
        If one does not apply to this kind of file.
    """
    from streamlstm.convert.formats import FORMATS

    for keyword in given:
        if keyword not in FORMATS[kind].options:
            takers = [f.description for f in FORMATS.values() if keyword in f.options]
            expected = " or ".join(takers) if len(takers) < 5 else "a network of other software"
            raise ConvertError(
                f"{OPTIONS[keyword]} is for {expected}, and {file} is "
                f"{FORMATS[kind].description}: leave it out"
            )


def pairs(option: str, values: Sequence[str]) -> dict[str, str]:
    """Parse values of the form NAME=VALUE.

    Raises
    ------
    ConvertError
        If one is not of that form, or a name occurs twice.
    """
    found: dict[str, str] = {}
    for text in values:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not (name and sign and value):
            raise ConvertError(f"{option}: expected NAME=VALUE, got {text!r}")
        if name in found:
            raise ConvertError(f"{option}: expected every name once, got {name!r} twice")
        found[name] = value
    return found


def module(reference: str | None, arguments: str | None) -> Any:
    """Import the class of --module and make a module with --args; say that its code runs.

    Raises
    ------
    ConvertError
        If one is missing or not valid, or the class cannot be made.
    """
    import json
    import sys

    from streamlstm.convert.torch.user_module import import_module_class

    if reference is None:
        raise ConvertError("--args: holds the arguments of the class that --module names")
    try:
        given = json.loads(arguments or "{}")
    except ValueError as error:
        raise ConvertError(f"--args: expected JSON, got {arguments!r}: {error}") from None
    if not isinstance(given, dict):
        raise ConvertError(f'--args: expected a map such as {{"hidden": 64}}, got {arguments!r}')
    print(f"importing {reference}: this runs its code on this machine", file=sys.stderr)
    return import_module_class(reference, given)


def names(text: str) -> list[str]:
    """Parse names separated by commas."""
    return [part.strip() for part in text.split(",")]


def numbers(option: str, text: str) -> list[float]:
    """Parse numbers separated by commas.

    Raises
    ------
    ConvertError
        If one is not a number.
    """
    return [_parse(option, "numbers separated by commas", float, part) for part in names(text)]


def scaling(side: str, mean: str | None, scale: str | None, file: Path | None, unsafe: bool) -> Any:
    """Return the Scaling of one side, "input" or "output", or its file; None without any.

    Raises
    ------
    ConvertError
        If a number is not valid, a scale is not above zero, or the lengths differ.
    """
    if file is not None:
        if mean is not None or scale is not None:
            raise ConvertError(f"--{side}-scaling and --{side}-mean or --{side}-scale: give one")
        return _scaler(file, unsafe)
    if mean is None and scale is None:
        return None
    import numpy as np

    from streamlstm.errors import ModelError
    from streamlstm.network.scaling import Scaling

    shift = None if mean is None else numbers(f"--{side}-mean", mean)
    factor = None if scale is None else numbers(f"--{side}-scale", scale)
    length = len(shift or factor or ())
    try:
        return Scaling(np.array(shift or [0.0] * length), np.array(factor or [1.0] * length))
    except ModelError as error:
        raise ConvertError(f"--{side}-mean and --{side}-scale: {error}") from None


def _scaler(file: Path, unsafe: bool) -> Any:
    """Return the file of a scaler, or the scaler if it is a pickle that may be loaded."""
    import sys

    from streamlstm.convert.common.scalers import is_pickle, load_pickle

    if not unsafe or not file.is_file() or not is_pickle(file):
        return file
    print(f"loading {file}: this runs the code in it on this machine", file=sys.stderr)
    return load_pickle(file)


def window(rows: int | None, stateful: bool) -> dict[str, int | None]:
    """Return the keyword of --window or --stateful; none without these.

    Raises
    ------
    ConvertError
        If both are given.
    """
    if rows is not None and stateful:
        raise ConvertError("--window and --stateful exclude each other: give one of them")
    return {"window": rows} if rows is not None or stateful else {}


def skips(text: str, inputs: Sequence[str] | None) -> list[int]:
    """Return for each output the number of the input that is added to it, -1 for ``-``.

    Parameters
    ----------
    text : str
        Numbers from 0, ``-``, or names of ``inputs``, separated by commas.
    inputs : sequence of str, optional
        The names of ``--inputs``.

    Raises
    ------
    ConvertError
        If one is none of these.
    """
    known = {name: n for n, name in enumerate(inputs or ())} | {"-": -1}
    expected = "for each output the number of an input from 0, a name of --inputs, or -"
    return [
        known[part] if part in known else _parse("--skip", expected, int, part)
        for part in names(text)
    ]


def _parse(option: str, expected: str, kind: Callable[[str], Any], text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ConvertError(f"{option}: expected {expected}, got {text!r}") from None
