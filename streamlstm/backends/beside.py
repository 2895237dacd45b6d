"""Compile kernels in other processes: beside something that takes long, or on several cores."""

import gc
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from queue import SimpleQueue

Progress = Callable[[int, int, str], None]


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Compiler:
    """A process that compiles groups of kernels; it ends with this one at the latest."""

    def __init__(self) -> None:
        from numba import config

        chosen = {"NUMBA_CACHE_DIR": config.CACHE_DIR} if config.CACHE_DIR else {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for this process alone
            env={**os.environ, **chosen},
            text=True,
        )

    def ask(self, name: str) -> None:
        """Let it compile a group when it has done those before."""
        from ..kernels import compile

        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{compile.module_of(name)} {name}\n")
            self._process.stdin.flush()

    def wait(self) -> bool:
        """Wait for the next group; return False if the process has ended instead."""
        assert self._process.stdout is not None
        return self._process.stdout.readline() != ""

    def is_done(self) -> bool:
        """Tell whether it has ended."""
        return self._process.poll() is not None

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        with suppress(BrokenPipeError):
            self._process.communicate()


def _missing(names: Sequence[str]) -> list[str]:
    """Return the groups to compile beside this: none on one core, or if they were not found."""
    from ..kernels import compile

    missing = [name for name in names if not compile.is_warm([name])]
    folder, _ = compile.all_kernels()[0]._cache.folder_to_write()
    return missing if folder is not None and cores() > 1 else []


@contextmanager
def compiled_beside(names: Sequence[str]) -> Iterator[None]:
    """Compile groups of kernels (kernels/compile.py) beside the body, and wait for them at its end.

    Nothing is done on one processor, or where no other process would find them. An exception in the
    body ends the process, and so does the end of this one.
    """
    from ..kernels import compile

    missing = _missing(names)
    if not missing:
        yield
        return
    compiler = _Compiler()
    try:
        for name in missing:
            compiler.ask(name)
        yield
        left = [name for name in missing if not compile.is_warm([name])]
        if left and not compiler.is_done():
            what = ", ".join(left)
            print(f"waiting for kernels that are compiled beside this: {what}", file=sys.stderr)
        all(compiler.wait() for _ in missing)
    finally:
        compiler.close()


def compile_on_all_cores(names: Sequence[str], progress: Progress | None = None) -> None:
    """Load groups of kernels, or compile them in as many processes as there are cores.

    Each process takes the next group that none has: those that take longest come first in
    ``names``. ``progress`` is called as :func:`.kernels.compile.prepare` calls it, with the number
    of groups that were begun before.
    """
    from ..kernels import compile

    left = deque(_missing(names))
    if len(left) < 2:
        compile.prepare(progress, names)
        return
    begun, total, lock = len(names) - len(left), len(names), threading.Lock()

    def take() -> str | None:
        nonlocal begun
        with lock:
            if not left:
                return None
            name = left.popleft()
            if progress is not None:
                progress(begun, total, name)
            begun += 1
            return name

    def have_compiled(compiler: _Compiler) -> None:
        while (name := take()) is not None:
            compiler.ask(name)
            if not compiler.wait():
                return  # this process compiles it below

    with ExitStack() as stack:
        stack.enter_context(_uncollected())
        threads = []
        for _ in range(min(cores(), len(left)) - 1):
            compiler = _Compiler()
            thread = threading.Thread(target=have_compiled, args=(compiler,))
            stack.callback(thread.join)
            stack.callback(compiler.close)
            threads.append(thread)
        first = take()  # which takes longest, and this process can begin with at once
        for thread in threads:
            thread.start()
        while first is not None:
            compile.prepare(None, [first])
            first = take()
        for thread in threads:
            thread.join()
    compile.prepare(None, names)  # also what a process that has ended was to compile
    if progress is not None:
        progress(total, total, "done")


@contextmanager
def _uncollected() -> Iterator[None]:
    """Collect no garbage: Numba makes millions of objects and hardly a cycle."""
    enabled = gc.isenabled()
    gc.disable()  # saves a tenth of the time
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _compile() -> None:
    """Compile the groups that lines name, until whoever asked for them is gone."""
    from ..kernels import compile

    lines: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    with _uncollected():
        while True:
            module, _, name = lines.get().rstrip("\n").partition(" ")
            import_module(module)  # which may register it
            compile.prepare(None, [name])
            print(flush=True)


def _read(lines: "SimpleQueue[str]") -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(1)


if __name__ == "__main__":
    _compile()
