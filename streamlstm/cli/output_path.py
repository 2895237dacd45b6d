"""Checks of output files before the work begins."""

from pathlib import Path

from streamlstm.errors import DataError
from streamlstm.files import check_writable


def check_output(option: str, path: Path, **inputs: str | Path) -> Path:
    """Check that an output file can be written and is none of the command's inputs.

    Parameters
    ----------
    option : str
        The option that named the path, for the message.
    path : Path
        The file to write.
    **inputs : str or Path
        The files to read, by their content: ``data="a.csv"``; "-" is standard input.

    Returns
    -------
    Path
        The file to write, symbolic links resolved.

    Raises
    ------
    DataError
        If it cannot be written or is an input.
    """
    try:
        target = check_writable(path)
    except OSError as error:
        if not path.parent.is_dir():
            advice = f"there is no directory {path.parent}; create it first"
        else:
            advice = f"{error.strerror}; choose another place"
        raise DataError(f"{option} {path}: cannot be written: {advice}") from None
    for content, source in inputs.items():
        both_exist = str(source) != "-" and target.exists() and Path(source).exists()
        if both_exist and target.samefile(source):
            raise DataError(
                f"{option} {path}: this is the file with the {content}; choose another name"
            )
    return target
