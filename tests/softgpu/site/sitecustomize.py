"""Let kernels stay PTX in every Python process that runs on software GPUs.

numba-cuda has its PTX made into machine code of a GPU before it is loaded; the software driver
takes the PTX. Python imports this file at its start where `python -m tests.softgpu` has put it on
the path.
"""

import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from typing import Any

NAME = "numba.cuda.cudadrv.driver"


def keep_ptx(linker: Any) -> Any:
    """Stand for `_Linker.complete`: what was to be linked, which must be one module."""
    (code,) = linker._object_codes
    linker._info_log = linker._error_log = ""
    linker._complete, linker.linker = True, linker
    return code


class Patching(MetaPathFinder, Loader):
    """Loads the module of numba-cuda that has the linker, and replaces that."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != NAME:
            return None
        sys.meta_path.remove(self)
        self.spec = importlib.util.find_spec(name)
        return importlib.util.spec_from_loader(name, self, origin=self.spec.origin)

    def create_module(self, spec: Any) -> Any:
        return importlib.util.module_from_spec(self.spec)

    def exec_module(self, module: Any) -> None:
        self.spec.loader.exec_module(module)
        if hasattr(module, "_Linker"):  # numba's own numba.cuda asks the driver to link
            module._Linker.complete = keep_ptx


sys.meta_path.insert(0, Patching())
