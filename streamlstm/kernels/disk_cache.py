"""Machine code on disk: where it is found, where it is kept, and what is said if it cannot be.

Numba chooses one folder for a kernel, which it must be able to write, and fails without one. Here
every folder is read that may hold the machine code (NUMBA_CACHE_DIR, then the kernel's own package,
then the user's cache), also one that is read-only, such as that of an image of a container; new
code goes to the first of them that can be written. Where none can be, kernels are compiled in
memory, and one line of the log says so.

Numba's key of an entry contains the processor that it was compiled for: code for another one is not
found, and is compiled anew.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba import config
from numba.core import caching, serialize
from numba.core.runtime import rtsys

_LOG = logging.getLogger(__name__)
_UNKEPT, _ELSEWHERE = "unkept", "elsewhere"  # subjects of warnings
_said: set[str] = set()

HINT = (
    "Set NUMBA_CACHE_DIR to a folder that can be written, or compile them once where one can be "
    "(streamlstm compile; docs/operations.md, Compiled kernels)"
)


def _cache_at(locator: type[Any]) -> type[Any]:
    """Make a class of Numba's caches of one folder, whether or not that can be written."""

    class Here(locator):
        @classmethod
        def from_function(cls, function: Any, file: str) -> Any:
            return cls(function, file)

    class Implementation(caching.CompileResultCacheImpl):
        _locator_classes = (Here,)

    class Folder(caching.FunctionCache):
        _impl_class = Implementation

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            """Load machine code, which needs Numba's runtime; as Numba does, but for one thing.

            That imports all that it compiles with first, of SciPy as well: a quarter of a second
            in each process. Who compiles imports it then.
            """
            rtsys.initialize(target_context)
            return self._load_overload(sig, target_context)

        def _index_key(self, sig: Any, codegen: Any) -> Any:
            return sig, codegen.magic_tuple(), _closure(self._py_func)

        @property
        def index(self) -> Path:
            return Path(self._cache_file._index_path)

        def why_not_writable(self) -> str | None:
            try:
                self._impl.locator.ensure_cache_path()
            except OSError as error:
                return f"{self.cache_path}: {error.strerror}"
            return None

    return Folder


def _closure(function: Any) -> tuple[Any, ...]:
    """Describe what a function has in its closure: compiled functions by name, the rest as bytes.

    Numba's own key has the bytes of all, which for a compiled function differ from process to
    process: what a factory made of one was compiled anew by each, and kept each time. A function's
    code needs no place in the key: the name of the entry has the hash of its source.
    """
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    functions = [getattr(cell, "py_func", None) for cell in cells]
    return tuple(
        serialize.dumps(cell)
        if inner is None
        else (inner.__module__, inner.__qualname__, _closure(inner))
        for cell, inner in zip(cells, functions, strict=True)
    )


_CHOSEN, _PACKAGE, _USER = (
    _cache_at(locator)
    for locator in (
        caching.UserProvidedCacheLocator,
        caching.InTreeCacheLocator,
        caching.UserWideCacheLocator,
    )
)

_only: type[Any] | None = None


def _kinds() -> tuple[type[Any], ...]:
    if _only is not None:
        return (_only,)
    return (_CHOSEN, _PACKAGE, _USER) if config.CACHE_DIR else (_PACKAGE, _USER)


class KernelCache(caching.NullCache):
    """The machine code of one kernel, in the folders named above; what Numba asks for it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._made: dict[type[Any], Any] = {}

    @property
    def folders(self) -> list[Any]:
        """The folders, in their order."""
        for kind in _kinds():
            if kind not in self._made:
                self._made[kind] = kind(self._function)
        return [self._made[kind] for kind in _kinds()]

    @property
    def cache_path(self) -> str | None:
        """Return the folder that holds this kernel, or would."""
        found = next((folder for folder in self.folders if folder.index.exists()), None)
        return str((found or self.folders[0]).cache_path)

    def is_kept(self) -> bool:
        """Tell whether there is machine code of this kernel on disk."""
        return any(folder.index.exists() for folder in self.folders)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled kernel; None if no folder has it, or what it has is damaged."""
        for folder in self.folders:
            try:
                if (found := folder.load_overload(sig, target_context)) is not None:
                    return found
            except Exception as error:
                with suppress(OSError):
                    folder.flush()  # else what is compiled now could not be kept there
                sentence = f"the kernel there cannot be used ({error!r}) and is compiled again"
                say(str(folder.index), f"{folder.index}: {sentence}")
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled kernel in the first folder that can be written."""
        reason = None
        for folder in self.folders:
            try:
                folder.save_overload(sig, data)
            except OSError as error:
                reason = error
            else:
                return
        say_unkept(str(reason))

    def folder_to_write(self) -> tuple[str | None, list[str]]:
        """Return the first folder that can be written, and why those before it cannot."""
        reasons: list[str] = []
        for folder in self.folders:
            reason = folder.why_not_writable()
            if reason is None:
                return str(folder.cache_path), reasons
            reasons.append(reason)
        return None, reasons

    def files(self) -> list[Path]:
        """Return the files of this kernel."""
        indices = [folder.index for folder in self.folders if folder.index.exists()]
        return [file for index in indices for file in index.parent.glob(f"{index.stem}.*")]


def use_only_one(dispatcher: Any, folder: str | None = None) -> list[str]:
    """Read and write one folder from now on: this one, or else the first that can be written.

    Returns
    -------
    list of str
        If there is none: why each cannot be written.
    """
    global _only
    if folder is not None:
        config.CACHE_DIR, _only = folder, _CHOSEN
    reasons: list[str] = []
    for kind in _kinds():
        reason = kind(dispatcher.py_func).why_not_writable()
        if reason is None:
            _only = kind
            return []
        reasons.append(reason)
    return reasons


def say(subject: str, sentence: str) -> None:
    """Log a warning, once in a process on a subject."""
    if subject not in _said:
        _said.add(subject)
        _LOG.warning("%s", sentence)


def say_unkept(reason: str) -> None:
    """Log that compiled kernels cannot be kept."""
    say(
        _UNKEPT,
        f"compiled kernels cannot be kept ({reason}): every process compiles them in memory, which "
        f"takes from seconds to a minute. {HINT}",
    )


def announce(dispatcher: Any) -> None:
    """Say, before a kernel is compiled, if it cannot be kept, or not where the user wants."""
    path, reasons = dispatcher._cache.folder_to_write()
    if path is None:
        say_unkept("; ".join(reasons))
    elif config.CACHE_DIR and reasons:
        say(
            _ELSEWHERE,
            f"NUMBA_CACHE_DIR cannot be written ({reasons[0]}): compiled kernels are kept in "
            f"{path} instead. {HINT}",
        )
