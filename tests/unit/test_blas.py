"""The reference backend hides OpenBLAS's warning about finite products.

See docs/decisions/openblas-invalid-value-warning.md.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FILL = """
#include <stdint.h>
void fill(void)
{
    volatile uint32_t stack[100000];
    for (int n = 0; n < 100000; n++)
        stack[n] = 0x7FA00001;
}
"""
PROGRAM = """
import ctypes, sys
import numpy as np
from streamlstm import Dense, Model
from streamlstm.backends.reference import ReferenceBackend
fill = ctypes.PyDLL(sys.argv[1]).fill
rng = np.random.default_rng(0)
for outputs in range(1, 24):
    layer = Dense(5, outputs)
    arrays = {name: rng.standard_normal(shape) for name, shape in layer.parameters().items()}
    backend = ReferenceBackend(Model([layer], [arrays]))
    x = rng.standard_normal((1, 5)).astype(np.float32)
    fill()
    backend.compute(x, [{}])
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A function that leaves signalling NaN on the stack."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler: install gcc")
    folder = tmp_path_factory.mktemp("blas")
    (folder / "fill.c").write_text(FILL)
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(folder / "fill.so")]
    subprocess.run([*command, str(folder / "fill.c")], check=True, timeout=60)
    return folder / "fill.so"


def test_the_reference_does_not_warn_of_finite_products(library: Path) -> None:
    environment = os.environ | {"OPENBLAS_CORETYPE": "SkylakeX"}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(library)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
