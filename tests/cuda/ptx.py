"""Compile the kernels to PTX, and to machine code if ptxas is found; print statistics of it.

    python -m [tests.softgpu] tests.cuda.ptx [FOLDER]

In a process of its own, without a GPU: numba asks the driver only which device its functions are
for, and gets it from here. On software GPUs, what their tests have compiled is read instead. Prints
one JSON object: for each architecture and kernel its registers and the bytes that it spills, or
null where ptxas is not found; or why nothing can be compiled.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

warnings.simplefilter("ignore")  # of numba's imports

from numba import cuda, types  # noqa: E402
from numba.cuda import dispatcher  # noqa: E402

from streamlstm.kernels.cuda import (  # noqa: E402
    fused,
    online,
    rows,
    scalar,
    sequences,
    sizes,
)

from .sass import inner_loops  # noqa: E402

_floats, _longs, _ints, _doubles = (
    types.Array(kind, 1, "C") for kind in (types.float32, types.int64, types.int32, types.float64)
)
_step = (_floats, _longs, _floats, _ints, _floats, _floats, _floats, types.int64)
_block = (_floats, _ints, _doubles, _floats, _floats, *[types.int64] * 2)
_move = (_floats, types.int64, _longs, *[types.int64] * 3, _floats)
KERNELS = {
    "resident": (fused.step_resident, _step, None),
    "shared": (fused.step_shared, _step, sizes.REGISTERS),
    "spilled": (fused.step_global, _step, None),
    "scalar": (scalar.step, _step, None),
    "sequences": (sequences.step, _step, None),
    "prepare": (online.prepare, (_floats, _longs, _doubles, *_block), None),
    "conclude": (online.conclude, (_floats, _longs, *_block, types.int64, _floats), None),
    "learn": (
        online.learn,
        (_floats, _longs, _floats, _longs, types.int64, _floats, _floats, _longs),
        None,
    ),
    "fill": (rows.fill, (_floats, _floats, types.int64, types.int64), None),
    "gather": (rows.gather, _move, None),
    "scatter": (rows.scatter, _move, None),
}
# Of the older one those that differ most: the others consist of the same instructions.
ARCHITECTURES = {"sm_90": (9, 0), "sm_80": (8, 0)}
OF_SOFTWARE = (9, 0) if "SOFTGPU_CACHE" in os.environ else None
OF_THE_OLDER = ("shared", "prepare", "learn", "gather")


def find(program: str) -> str | None:
    """Return where a program of NVIDIA's is: in a package, or on the path."""
    packaged = (
        str(path)
        for folder in sys.path
        for path in Path(folder).glob(f"nvidia/*/bin/{program}")
        if path.is_file()
    )
    return next(packaged, None) or shutil.which(program)


def ptx_of(kernel: Any, signature: tuple[Any, ...], cc: tuple[int, int]) -> str:
    """Return the PTX of a kernel for an architecture: that which software GPUs run, if theirs."""
    if cc == OF_SOFTWARE:
        kernel.compile(signature)
        return str(kernel.inspect_asm(signature))
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=cc)
    return str(cuda.compile_ptx(kernel.py_func, signature, cc=cc)[0])


def assemble(ptxas: str, ptx: str, arch: str, registers: int | None) -> dict[str, Any]:
    """Return registers of a thread, bytes of spills, and the inner loops if they can be seen."""
    with tempfile.TemporaryDirectory() as folder:
        source, cubin = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(ptx)
        limit = [f"-maxrregcount={registers}"] if registers else []
        made = [ptxas, "-v", f"-arch={arch}", *limit, str(source), "-o", str(cubin)]
        result = subprocess.run(made, capture_output=True, text=True, timeout=240)
        if result.returncode:
            raise RuntimeError(result.stderr)
        nvdisasm = find("nvdisasm")
        loops = inner_loops(nvdisasm, cubin) if nvdisasm else None
    stores, loads = re.findall(r"(\d+) bytes spill (?:stores|loads)", result.stderr)
    used = re.search(r"Used (\d+) registers", result.stderr)
    assert used is not None, result.stderr
    return {"registers": int(used[1]), "spills": int(stores) + int(loads), "loops": loops}


def main(folder: str | None = None) -> dict[str, Any]:
    """Compile them for each architecture, and leave their PTX in a folder for each."""
    ptxas = find("ptxas")
    found: dict[str, Any] = {"ptxas": ptxas is not None}
    for arch, cc in ARCHITECTURES.items():
        found[arch] = {}
        for name, (kernel, signature, registers) in KERNELS.items():
            if arch == "sm_80" and name not in OF_THE_OLDER:
                continue
            try:
                ptx = ptx_of(kernel, signature, cc)
            except Exception as error:  # of one of several packages
                if "nvvm" in f"{type(error)} {error}".lower():
                    return {"missing": f"NVVM: {error}".splitlines()[0]}
                raise
            assert f".target {arch}" in ptx
            if folder:
                Path(folder, arch).mkdir(exist_ok=True)
                Path(folder, arch, f"{name}.ptx").write_text(ptx)
            found[arch][name] = ptxas and assemble(ptxas, ptx, arch, registers)
            found[arch][name + " local"] = len(re.findall(r"\b(?:ld|st)\.local", ptx))
    return found


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
