"""What the CUDA driver can do and numba has no word for: graphs, and a block's shared memory.

Both go through NVIDIA's cuda-bindings, on which the package numba-cuda stands. Where numba brings
its own numba.cuda, or in its simulator, neither is there, and everything works without.
"""

import weakref
from collections.abc import Callable
from typing import Any

from numba import cuda

from ...kernels.cuda.sizes import SIMULATED

try:
    if SIMULATED:
        raise ImportError
    from cuda.bindings import driver
except ImportError:
    driver = None

AVAILABLE = driver is not None


def make_stream() -> Any:
    """Return a CUDA stream for the current device, which a graph may be recorded on.

    It does not wait for the default stream, nor that for it: while a stream that does is recorded,
    the driver refuses the default stream to everybody in the process, PyTorch for example.
    """
    if not AVAILABLE:
        return cuda.stream()
    handle = _checked(driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING.value))
    stream = cuda.external_stream(int(handle))
    _destroy_with(stream, driver.cuStreamDestroy, handle)
    return stream


class Graph:
    """Work of a CUDA stream that was recorded once and is given to the device with one call.

    Parameters
    ----------
    stream : numba.cuda stream
        Of :func:`make_stream`.
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
        _destroy_with(self, driver.cuGraphExecDestroy, self._executable)

    def launch(self) -> None:
        """Enqueue all that was recorded."""
        _checked(driver.cuGraphLaunch(self._executable, self._stream))


def shared_limit(device: int) -> int:
    """Return the bytes of shared memory that a block may be allowed, 0 if that cannot be asked."""
    if not AVAILABLE:
        return 0
    which = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    return int(_checked(driver.cuDeviceGetAttribute(which, _checked(driver.cuDeviceGet(device)))))


def allow_shared(kernel: Any, device: int) -> None:
    """Let a kernel that was compiled for a device have as much shared memory as there can be."""
    which = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    number = _checked(driver.cuDeviceGet(device))
    for compiled in kernel.overloads.values():
        handle = compiled._codelibrary.get_cufunc().handle
        _checked(driver.cuKernelSetAttribute(which, shared_limit(device), handle, number))


def _destroy_with(owner: Any, destroy: Any, handle: Any) -> None:
    """Give a handle back with its owner, but not at the process's end: the driver may be gone."""
    weakref.finalize(owner, destroy, handle).atexit = False


def _checked(answer: tuple[Any, ...]) -> Any:
    """Return what a call of the driver gave besides its error code, which must be 0."""
    error, *values = answer
    if error != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"the CUDA driver says {error.name}")
    return values[0] if values else None
