"""A step of RTNeural's LSTM layer, in C++ over Eigen, for comparison.

RTNeural has no package, so its source is given: a folder as it is cloned, of which the header of
the layer is compiled here, with the network's sizes, for this processor. Eigen is found there,
among the modules, or where Debian puts it.
"""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from streamlstm.network.layers import LSTM

HEADER = "RTNeural/lstm/lstm.h"
COMPILERS = ("c++", "g++", "clang++")
OPTIONS = ("-std=c++17", "-O3", "-march=native", "-DNDEBUG", "-shared", "-fPIC", "-w")
# Weights lie within the layer: Eigen would refuse more than 128 KiB of them.
DEFINED = (
    "RTNEURAL_USE_EIGEN=1",
    "RTNEURAL_DEFAULT_ALIGNMENT=32",
    "EIGEN_STACK_ALLOCATION_LIMIT=0",
)
# Sizes known at compile time are the quicker of its two ways. Gates are ordered as ours.
SOURCE = r"""
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>
#if __has_include(<RTNeural/config.h>)
#include <RTNeural/config.h>
#endif
#include <RTNeural/lstm/lstm.h>

using Layer = RTNeural::LSTMLayerT<float, UNITS_IN, UNITS>;
using Inputs = Eigen::Matrix<float, UNITS_IN, 1>;

static std::vector<std::vector<float>> rows(const float* values, int count) {
  constexpr int width = 4 * UNITS;
  std::vector<std::vector<float>> all;
  for (int n = 0; n < count; ++n) all.emplace_back(values + n * width, values + (n + 1) * width);
  return all;
}

extern "C" void* create(const float* W, const float* U, const float* bias) {
  auto* layer = new Layer;
  layer->setWVals(rows(W, UNITS_IN));
  layer->setUVals(rows(U, UNITS));
  layer->setBVals({bias, bias + 4 * UNITS});
  layer->reset();
  return layer;
}

extern "C" void repeat(void* layer, const float* x, float* h, long count) {
  auto& own = *static_cast<Layer*>(layer);
  const Inputs inputs = Eigen::Map<const Inputs>(x);
  for (long n = 0; n < count; ++n) own.forward(inputs);
  std::copy(own.outs.data(), own.outs.data() + UNITS, h);
}
"""


def rtneural_run(
    folder: Path, layer: LSTM, weights: dict[str, Any], X: Any
) -> Callable[[int], Any]:
    """Compile the layer; return a function that takes n steps of X[1, F] and gives h[1, H].

    The stream begins with zero state. All steps of a call happen inside compiled code.
    """
    H, F = layer.hidden_size, layer.input_size
    library = _compile(folder, F, H)
    names = ("weight_ih", "weight_hh", "bias")
    arrays = [np.ascontiguousarray(np.asarray(weights[name], np.float32).T) for name in names]
    x, h = np.ascontiguousarray(X[0], np.float32), np.zeros((1, H), np.float32)
    state = ctypes.c_void_p(library.create(*(_address(array) for array in arrays)))
    places = state, _address(x), _address(h)

    def run(n: int) -> Any:
        library.repeat(*places, n)
        return h

    return run


def _address(array: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _compile(folder: Path, F: int, H: int) -> ctypes.CDLL:
    """Compile the layer of such sizes into a library that lasts as long as this process."""
    sizes = (f"UNITS_IN={F}", f"UNITS={H}")
    with tempfile.TemporaryDirectory() as made:
        source, library = Path(made) / "step.cpp", Path(made) / "step.so"
        source.write_text(SOURCE)
        command = [_compiler(), *OPTIONS, *(f"-D{name}" for name in (*DEFINED, *sizes))]
        command += [f"-I{path}" for path in (folder, _eigen(folder))]
        ran = subprocess.run(
            [*command, str(source), "-o", str(library)], capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise SystemExit(f"--rtneural {folder}: its LSTM did not compile:\n{ran.stderr}")
        loaded = ctypes.CDLL(str(library))
    loaded.create.restype = ctypes.c_void_p
    loaded.repeat.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long]
    return loaded


def _compiler() -> str:
    for name in COMPILERS:
        if found := shutil.which(name):
            return found
    raise SystemExit(f"--rtneural needs a C++ compiler; none of {', '.join(COMPILERS)} was found")


def _eigen(folder: Path) -> Path:
    """Return the folder of Eigen; say what is missing, of both."""
    if not (folder / HEADER).exists():
        raise SystemExit(f"--rtneural {folder}: expected a clone of RTNeural, with {HEADER} in it")
    places = (folder / "modules/Eigen", Path("/usr/include/eigen3"))
    for place in places:
        if (place / "Eigen/Dense").exists():
            return place
    raise SystemExit(
        f"--rtneural {folder}: Eigen is neither in {places[0]} nor in {places[1]}; "
        "git submodule update --init there, or the package libeigen3-dev, brings it"
    )
