"""Files that commands write: refused at once where they would be refused after the work."""

from pathlib import Path

from streamlstm.errors import DataError
from streamlstm.files import check_writable


def check_output(option: str, path: Path, **inputs: str | Path) -> Path:
    """Refuse a file that cannot be written, or that the command is about to read.

    Parameters
    ----------
    option : str
        What the path was given with, for the message.
    path : Path
        The file to write.
    **inputs : str or Path
        What is read, by what it is: ``data="a.csv"``; "-" is standard input.

    Returns
    -------
    Path
        The file to write, links followed.

    Raises
    ------
    DataError
        With one sentence.
    """
    try:
        target = check_writable(path)
    except OSError as error:
        if not path.parent.is_dir():
            advice = f"there is no directory {path.parent}; create it first"
        else:
            advice = f"{error.strerror}; choose another place"
        raise DataError(f"{option} {path}: cannot be written: {advice}") from None
    for what, source in inputs.items():
        there = str(source) != "-" and target.exists() and Path(source).exists()
        if there and target.samefile(source):
            raise DataError(
                f"{option} {path}: this is the file with the {what}; choose another name"
            )
    return target
