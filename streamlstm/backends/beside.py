"""Compile kernels in a process of their own, while this one does something else that takes long."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def compiled_beside(names: Sequence[str]) -> Iterator[None]:
    """Compile groups of kernels (kernels/compile.py) beside the body, and wait for them at its end.

    Nothing is done on one processor, or where no other process would find them. An exception in the
    body ends the process, and so does the end of this one.
    """
    from ..kernels import compile

    missing = [name for name in names if not compile.is_warm([name])]
    folder, _ = compile.all_kernels()[0]._cache.folder_to_write()
    if not missing or folder is None or cores() < 2:
        yield
        return
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, *missing],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for this process alone
    )
    try:
        yield
        if process.poll() is None:
            left = ", ".join(name for name in missing if not compile.is_warm([name]))
            print(f"waiting for kernels that are compiled beside this: {left}", file=sys.stderr)
            process.wait()
    finally:
        process.kill()
        process.communicate()


def _compile(names: Sequence[str]) -> None:
    """Compile them, until whoever asked for them is gone."""
    from ..kernels import compile

    threading.Thread(target=_end_with_the_other, daemon=True).start()
    compile.prepare(None, names)


def _end_with_the_other() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    _compile(sys.argv[1:])
