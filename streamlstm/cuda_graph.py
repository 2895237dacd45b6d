"""What the CUDA driver can do and numba has no word for: graphs, and more shared memory of a block.

Both go through NVIDIA's cuda-bindings, on which the package numba-cuda stands. Where numba brings
its own numba.cuda, or in its simulator, neither is there, and everything works without.
"""

import weakref
from collections.abc import Callable
from typing import Any

from .kernels.cuda.sizes import SIMULATED

try:
    if SIMULATED:
        raise ImportError
    from cuda.bindings import driver
except ImportError:
    driver = None

AVAILABLE = driver is not None


class Graph:
    """Work of a CUDA stream that was recorded once and is given to the device with one call.

    Parameters
    ----------
    stream : numba.cuda stream
        Not the default one.
    work : callable
        Enqueues on that stream, and does nothing else with the device: it must have run before, so
        that nothing is compiled or allocated now. What it enqueues is recorded with all addresses
        and sizes, and not carried out.

    Raises
    ------
    RuntimeError
        If the driver refuses. The stream can be used as before.
    """

    def __init__(self, stream: Any, work: Callable[[], None]) -> None:
        self._stream = int(stream.handle)
        # Relaxed: nothing here is unsafe while something is recorded, and other threads of this
        # process may allocate meanwhile.
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        _checked(driver.cuStreamBeginCapture(self._stream, mode))
        try:
            work()
        finally:
            recorded = driver.cuStreamEndCapture(self._stream)
        graph = _checked(recorded)
        try:
            self._executable = _checked(driver.cuGraphInstantiate(graph, 0))
        finally:
            driver.cuGraphDestroy(graph)
        weakref.finalize(self, driver.cuGraphExecDestroy, self._executable)

    def launch(self) -> None:
        """Enqueue all that was recorded."""
        _checked(driver.cuGraphLaunch(self._executable, self._stream))


def shared_limit(device: int) -> int:
    """Return the bytes of shared memory that a block may be allowed, 0 if that cannot be asked."""
    if not AVAILABLE:
        return 0
    which = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    return int(_checked(driver.cuDeviceGetAttribute(which, _checked(driver.cuDeviceGet(device)))))


def allow_shared(kernel: Any, device: int, size: int) -> None:
    """Let a kernel that was compiled for a device have ``size`` bytes of shared memory."""
    which = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    number = _checked(driver.cuDeviceGet(device))
    for compiled in kernel.overloads.values():
        handle = compiled._codelibrary.get_cufunc().handle
        _checked(driver.cuKernelSetAttribute(which, size, handle, number))


def _checked(answer: tuple[Any, ...]) -> Any:
    """Return what a call of the driver gave besides its error code, which must be 0."""
    error, *values = answer
    if error != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"the CUDA driver says {error.name}")
    return values[0] if values else None
