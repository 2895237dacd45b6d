"""Arguments of all commands that read a table: the model, the data and what its columns mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

ModelFile = Annotated[Path, Argument(metavar="MODEL", help="A model file, as `train` writes it.")]
TableFile = Annotated[
    str, Argument(metavar="DATA", help="A CSV file (.csv, .csv.gz), or - for stdin.")
]
StreamColumn = Annotated[str | None, Option(help="The column that names each row's series.")]
TimeColumn = Annotated[str | None, Option(help="The time column, if it is not detected.")]
AllowGaps = Annotated[
    bool, Option("--allow-gaps", help="Treat the rows around a gap as consecutive.")
]
