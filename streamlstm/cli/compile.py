"""``streamlstm compile``: compiles all kernels ahead of time, for an image of a container."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from .signals import exit_on_interrupt

if TYPE_CHECKING:
    from collections.abc import Iterable


def compile(
    cache: Annotated[
        str | None,
        Option(
            metavar="FOLDER",
            help="Keep them in this folder, which NUMBA_CACHE_DIR names where they are used; by "
            "default in the package, or else in the user's cache.",
        ),
    ] = None,
) -> None:
    """Compile all kernels for this processor, so that nothing is compiled later.

    Kernels that are compiled already stay. Processes that cannot write the folder, such as those of
    a read-only container, use it too.

    \b
    Example:
      streamlstm compile
      streamlstm compile --cache /opt/kernels
    """  # noqa: D301 - \b keeps the lines of the example apart
    folder = None if cache is None else _folder(cache)
    with exit_on_interrupt():  # the compiler swallows some interrupts
        from streamlstm.backends.warmup import compile_kernels
        from streamlstm.errors import StreamLSTMError
        from streamlstm.kernels import compile as kernels
        from streamlstm.kernels import simd
        from streamlstm.kernels.disk_cache import use_only_one
        from streamlstm.learn import cells
        from streamlstm.serving import compiled_loop  # noqa: F401 - has kernels too
        from streamlstm.serving.gateway import gateway  # noqa: F401 - likewise

        from .console import console

        dispatchers = [*kernels.all_kernels(), *cells.KERNELS]
        reasons = use_only_one(dispatchers[0], folder)
        if reasons:
            raise StreamLSTMError(
                f"compile: expected a folder that can be written for the kernels, got "
                f"{'; '.join(reasons)}. Choose another one: --cache FOLDER"
            )
        compile_kernels(kernels.all_names(), report=True)
        cells.compile_kernels()
    files = {file for dispatcher in dispatchers for file in dispatcher._cache.files()}
    name = simd.target()[0]
    console.print(
        f"{len(dispatchers)} kernels for {name} with {simd.LANES} floats a vector: "
        f"{_size(files):.1f} MB in {_common(files)}",
        markup=False,
    )
    if folder is not None:
        console.print(f"where they are used, set NUMBA_CACHE_DIR={folder}", markup=False)


def _folder(cache: str) -> str:
    """Return the absolute path of the folder that ``--cache`` names."""
    from streamlstm.errors import StreamLSTMError

    path = Path(cache).absolute()
    if cache and (path.is_dir() or not path.exists()):
        return str(path)
    got = f"the file {cache}" if cache else "nothing"
    raise StreamLSTMError(f"--cache: expected a folder for the kernels, got {got}")


def _size(files: "Iterable[Path]") -> float:
    return sum(file.stat().st_size for file in files) / 1e6


def _common(files: "Iterable[Path]") -> str:
    import os

    return os.path.commonpath([file.parent for file in files])
