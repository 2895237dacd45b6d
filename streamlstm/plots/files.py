"""Figures as files, bytes and cells of a notebook; the same figure is the same file."""

from __future__ import annotations

import io
import warnings
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import DataError
from .style import check_plots

FORMATS = (".png", ".svg", ".pdf")
# Nothing of when and by what it was made.
_METADATA: dict[str, dict[str, None]] = {
    "svg": dict.fromkeys(("Date", "Creator", "Type", "Format")),
    "pdf": {"CreationDate": None},
}


def check_picture(path: str | PathLike[str] | None = None) -> None:
    """Check that a picture can be drawn, before there is anything to draw.

    Raises
    ------
    StreamLSTMError
        If matplotlib is missing.
    DataError
        If ``path`` has another suffix than .png, .svg or .pdf.
    """
    if path is not None and Path(path).suffix.lower() not in FORMATS:
        raise DataError(f"{path}: expected a picture's name that ends in {', '.join(FORMATS)}")
    check_plots()


def write(figure: Any, to: Any, kind: str, **settings: Any) -> None:
    """Write a figure as ``png``, ``svg`` or ``pdf`` to a path or file.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    to : path or file
    kind : str
    **settings
        Those of matplotlib that matter while it writes.
    """
    import matplotlib as mpl

    style = {"svg.hashsalt": "streamlstm", "savefig.dpi": 140, **settings}
    with mpl.rc_context(style), warnings.catch_warnings():
        # Text in a script that matplotlib's font lacks: the reader sees that it is not drawn.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(to, format=kind, metadata=_METADATA.get(kind, {}))


class Picture:
    """A drawing that a notebook shows, and that can be saved.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
    """

    def __init__(self, figure: Any) -> None:
        self.figure = figure

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to a file.

        Raises
        ------
        DataError
            If its suffix is not .png, .svg or .pdf.
        OSError
            If it cannot be written.
        """
        check_picture(path)
        write(self.figure, path, Path(path).suffix.lower()[1:])

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        write(self.figure, buffer, "png", **{"savefig.dpi": 90})
        return buffer.getvalue()

    def __repr__(self) -> str:
        return "<Picture: save(path) writes it>"
