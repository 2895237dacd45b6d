"""Files of a page. Where none can be opened, an error says so before a response has begun."""

from __future__ import annotations

import os

from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles


def file_response(path: str | os.PathLike[str]) -> FileResponse:
    """Return the response that is a file.

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    os.close(os.open(path, os.O_RDONLY))
    return FileResponse(path)


class Files(StaticFiles):
    """Serves the files of a folder."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Return the whole path of a file, and its status; None if there is no such file."""
        found, status = super().lookup_path(path)
        if status is not None:
            os.close(os.open(found, os.O_RDONLY))
        return found, status
