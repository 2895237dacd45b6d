"""What a person tells `streamlstm convert` beside the file, as the readers take it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamlstm.errors import ConvertError

# What the shell calls each keyword of the readers.
OPTIONS = {
    "activations": "--activation",
    "rnn_activation": "--rnn-activation",
    "epsilon": "--epsilon",
    "output": "--output",
    "inputs": "--inputs",
    "outputs": "--outputs",
    "input_scaling": "--input-mean and --input-scale",
    "output_scaling": "--output-mean and --output-scale",
    "skip": "--skip",
    "skip_scale": "--skip-scale",
    "horizon": "--horizon",
    "metadata": "--metadata",
}


def check_applies(file: Path, kind: str, given: Mapping[str, Any]) -> None:
    """Refuse what the reader of a file does not take.

    Parameters
    ----------
    file : Path
    kind : str
        What :func:`streamlstm.convert.detect.detect` said of it.
    given : mapping
        By the keywords of the readers.

    Raises
    ------
    ConvertError
        With one sentence.
    """
    from streamlstm.convert.detect import KEYWORDS, NAMES

    for keyword in given:
        if keyword not in KEYWORDS[kind]:
            takers = [NAMES[other] for other, taken in KEYWORDS.items() if keyword in taken]
            wanted = takers[0] if len(takers) == 1 else "a network of other software"
            raise ConvertError(
                f"{OPTIONS[keyword]} is for {wanted}, and {file} is {NAMES[kind]}: leave it out"
            )


def pairs(option: str, values: Sequence[str]) -> dict[str, str]:
    """Return what was given as NAME=VALUE, once or several times.

    Raises
    ------
    ConvertError
        If one is not of that form, or a name comes twice.
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


def names(text: str) -> list[str]:
    """Return names that commas part."""
    return [part.strip() for part in text.split(",")]


def numbers(option: str, text: str) -> list[float]:
    """Return numbers that commas part.

    Raises
    ------
    ConvertError
        If one is no number.
    """
    return [_read(option, "numbers parted by commas", float, part) for part in names(text)]


def scaling(side: str, mean: str | None, scale: str | None) -> Any:
    """Return the Scaling of one side, "input" or "output"; one half may be left out, or both.

    Raises
    ------
    ConvertError
        If a number is none, a scale is not above zero, or the halves differ in length.
    """
    if mean is None and scale is None:
        return None
    from streamlstm.errors import ModelError
    from streamlstm.network.scaling import Scaling

    shift = None if mean is None else numbers(f"--{side}-mean", mean)
    factor = None if scale is None else numbers(f"--{side}-scale", scale)
    length = len(shift or factor or ())
    try:
        return Scaling(shift or [0.0] * length, factor or [1.0] * length)  # type: ignore[arg-type]
    except ModelError as error:
        raise ConvertError(f"--{side}-mean and --{side}-scale: {error}") from None


def skips(text: str, inputs: Sequence[str] | None) -> list[int]:
    """Return for each output the number of the input that is added to it, -1 for ``-``.

    Parameters
    ----------
    text : str
        Numbers from 0, ``-``, or names out of ``inputs``, parted by commas.
    inputs : sequence of str, optional
        What was given as names of inputs.

    Raises
    ------
    ConvertError
        If one is none of these.
    """
    known = {name: n for n, name in enumerate(inputs or ())} | {"-": -1}
    wanted = "for each output the number of an input from 0, a name out of --inputs, or -"
    return [
        known[part] if part in known else _read("--skip", wanted, int, part) for part in names(text)
    ]


def _read(option: str, wanted: str, kind: Callable[[str], Any], text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ConvertError(f"{option}: expected {wanted}, got {text!r}") from None
