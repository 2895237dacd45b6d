"""Run a Python module on software GPUs.

    python -m tests.softgpu MODULE [ARGUMENT ...]

In the root of the repository. Builds libcuda.so.1 out of the C files beside this one and starts the
module in a process that finds it. SOFTGPU_DEVICES and SOFTGPU_MEMORY say how many devices there are
and how many bytes each has; SOFTGPU_ORDER=early carries out at once what is enqueued, instead of as
late as can be.
"""

import os
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = [HERE / name for name in ("driver.c", "memory.c", "streams.c")]


def build() -> Path:
    """Return the folder of libcuda.so.1, made once for each state of the sources."""
    texts = sys.prefix.encode()  # whose numba keeps its kernels there
    texts += b"".join(path.read_bytes() for path in sorted(HERE.glob("*.[chp]*")))
    folder = Path(tempfile.gettempdir(), f"softgpu-{os.getuid()}-{sha256(texts).hexdigest()[:16]}")
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / "libcuda.so.1"
    if not library.exists():
        fresh = folder / f"libcuda-{os.getpid()}.so"
        flags = ["-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"]
        made = ["gcc", *flags, *map(str, SOURCES), "-o", str(fresh), "-ldl", "-lpthread"]
        subprocess.run(made, check=True, timeout=120)
        fresh.rename(library)
    return folder


def environment() -> dict[str, str]:
    """Return what a process needs to find the software driver."""
    folder = build()
    return os.environ | {
        "LD_LIBRARY_PATH": _first("LD_LIBRARY_PATH", folder),
        "PYTHONPATH": _first("PYTHONPATH", HERE / "site"),
        # Kernels are kept as PTX here, which a real driver's cache must not get to see.
        "NUMBA_CACHE_DIR": str(folder / "numba"),
        "SOFTGPU_CACHE": str(folder),
        "SOFTGPU_ROOT": str(HERE.parents[1]),
        "SOFTGPU_PYTHON": sys.executable,
        "STREAMLSTM_TEST_CUDA": "1",
    }


def _first(name: str, folder: Path) -> str:
    """Return a path of the environment with a folder in front."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get(name)])])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program = [sys.executable, "-m", *sys.argv[1:]]
    os.execve(sys.executable, program, environment())
