"""Ctrl-C from the first moment of a command to its last: no traceback, exit status 130.

Before its work begins and after it has ended, a command has nothing to lose, and a
KeyboardInterrupt, which may come between any two instructions, would show a traceback of the import
system, be swallowed by a package that is being imported, or come where nobody can catch it. So the
process ends at once then. In between Ctrl-C raises KeyboardInterrupt as usual.

This module is imported first, and imports only what every interpreter has loaded before.
"""

import _signal  # type: ignore[import-not-found] # built in
import os
import sys

TYPE_CHECKING = False  # as that of typing, which is not loaded yet
if TYPE_CHECKING:
    from types import FrameType

STATUS = 130  # as a shell shows a process that SIGINT ended
_IMPORT = "<frozen importlib"  # what the file names of the import system's code begin with
_PACKAGE = __file__.rpartition("/cli/")[0] + "/"
# Of our files those that run while the options are read and nothing else has begun.
_OUTER = (f"{_PACKAGE}cli/__init__.py", f"{_PACKAGE}__main__.py", __file__)
_works = [False]


def exit_now(_number: object, _frame: object) -> None:
    """End the process: the handler while there is nothing to lose."""
    os._exit(STATUS)


def interrupt(_number: object, frame: "FrameType | None") -> None:
    """Raise KeyboardInterrupt; but end the process before the work begins.

    That is in an import, and while options are read: where a generator is thrown away there, the
    interpreter would print the KeyboardInterrupt and go on.
    """
    has_begun = _works[0]
    while frame is not None and not _works[0]:
        file = frame.f_code.co_filename
        if file.startswith(_IMPORT):
            os._exit(STATUS)
        has_begun = has_begun or (file.startswith(_PACKAGE) and file not in _OUTER)
        frame = frame.f_back
    if not has_begun:
        os._exit(STATUS)
    raise KeyboardInterrupt


OURS = (_signal.default_int_handler, exit_now, interrupt)


def handle(handler: object) -> object:
    """Set the handler of Ctrl-C; return the one before.

    None, and nothing has changed, if the handler belongs to an application that imports us, if
    Ctrl-C is ignored (`nohup`), or in another thread than the main one.
    """
    before = _signal.getsignal(_signal.SIGINT)
    if before not in OURS:
        return None
    try:
        _signal.signal(_signal.SIGINT, handler)
    except ValueError:  # in another thread
        return None
    return before


class Working:
    """Within ``with``, Ctrl-C raises KeyboardInterrupt wherever it comes: there is work to end."""

    def __enter__(self) -> None:
        self._before, _works[0] = _works[0], True

    def __exit__(self, *_: object) -> None:
        _works[0] = self._before


def is_command() -> bool:
    """Tell whether this process is the command, and does not just import a part of it."""
    path = sys.argv[0] if sys.argv else ""
    return path.rpartition("/")[2] == "streamlstm" or path.endswith("streamlstm/__main__.py")
