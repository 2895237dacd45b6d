"""State rows on a CUDA device, with the interface of an array."""

from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from ...errors import CapacityError
from ...kernels.cuda import rows as kernels
from ...kernels.cuda.sizes import MOVING_BLOCK, MOVING_BLOCKS

Float32Array = NDArray[np.float32]

CHUNK = 1 << 20  # most floats that are moved at once
CHUNK_ROWS = 1 << 16  # most rows that are moved at once


class DeviceRows:
    """Rows of a state table in the memory of a device.

    ``rows[slot]``, ``rows[slots]`` and ``rows[slot, start:stop]`` read and assign copies of the
    selected rows; nothing else crosses the bus. All memory is allocated at once, and every row is
    that of a new stream: no stream waits for the table to grow.

    Parameters
    ----------
    capacity : int
        S
    initial : float32[R]
        The row of a new stream.
    device : int
        Number of the device.

    Attributes
    ----------
    shape : (int, int)
        S and R.
    memory : float32[S * R]
        The device array, for kernels.

    Raises
    ------
    CapacityError
        If the device has not enough free memory.
    """

    def __init__(self, capacity: int, initial: Float32Array, device: int) -> None:
        self.shape = capacity, len(initial)
        self._device = cuda.gpus[device]
        floats, rows = min(max(CHUNK, len(initial)), capacity * len(initial)), self._most(1)
        needed = 4 * (capacity * len(initial) + floats) + 8 * rows
        with self._device:
            free = cuda.current_context().get_memory_info()[0]
            if needed > free:
                raise CapacityError(
                    f"capacity: {capacity} streams of {4 * len(initial)} bytes take {needed}, with "
                    f"what they are moved through, and CUDA device {device} has {free} bytes free; "
                    "choose a smaller capacity."
                )
            self.memory = cuda.device_array(capacity * len(initial), np.float32)
            blocks = _blocks(capacity * len(initial))
            # Staging buffers, so that moving rows allocates nothing.
            self._moved = cuda.device_array(floats, np.float32)
            self._chosen = cuda.device_array(rows, np.int64)
            row = cuda.to_device(initial)
            kernels.fill[blocks, MOVING_BLOCK](self.memory, row, len(initial), capacity)
            cuda.synchronize()

    def __getitem__(self, key: Any) -> Float32Array:
        slots, start, stop = self._span(key)
        width = stop - start
        with self._device:
            if slots.ndim == 0:
                place = int(slots) * self.shape[1]
                row: Float32Array = self.memory[place + start : place + stop].copy_to_host()
                return row
            found = np.empty((len(slots), width), np.float32)
            for part in self._parts(len(slots), width):
                chosen, moved = self._staging(slots[part], width)
                kernels.gather[_blocks(len(moved)), MOVING_BLOCK](
                    self.memory, self.shape[1], chosen, start, width, len(chosen), moved
                )
                found[part] = moved.copy_to_host().reshape(-1, width)
        return found

    def __setitem__(self, key: Any, value: Any) -> None:
        slots, start, stop = self._span(key)
        width = stop - start
        given = np.empty((*slots.shape, width), np.float32)
        given[:] = value
        with self._device:
            if slots.ndim == 0:
                place = int(slots) * self.shape[1]
                self.memory[place + start : place + stop].copy_to_device(given)
            else:
                for part in self._parts(len(slots), width):
                    chosen, moved = self._staging(slots[part], width)
                    moved.copy_to_device(given[part].ravel())
                    kernels.scatter[_blocks(len(moved)), MOVING_BLOCK](
                        self.memory, self.shape[1], chosen, start, width, len(chosen), moved
                    )
            cuda.synchronize()

    def _most(self, width: int) -> int:
        """Return the most rows that are moved at once."""
        return max(1, min(self.shape[0], CHUNK_ROWS, CHUNK // width))

    def _parts(self, count: int, width: int) -> list[slice]:
        rows = self._most(width)
        return [slice(n, n + rows) for n in range(0, count, rows)]

    def _staging(self, slots: NDArray[np.int64], width: int) -> tuple[Any, Any]:
        """Copy slots to the device; return them, and staging for ``width`` floats of each row."""
        chosen = self._chosen[: len(slots)]
        chosen.copy_to_device(np.ascontiguousarray(slots))
        return chosen, self._moved[: len(slots) * width]

    def _span(self, key: Any) -> tuple[NDArray[np.int64], int, int]:
        """Return slots, and start and end of the columns."""
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        start, stop, _ = columns.indices(self.shape[1])
        slots = np.asarray(rows, np.int64)
        if slots.size and not 0 <= slots.min() <= slots.max() < self.shape[0]:
            raise IndexError(f"slots: expected 0 to {self.shape[0] - 1}, got {slots}")
        return slots, start, stop


def _blocks(size: int) -> int:
    """Return how many blocks of threads move ``size`` floats; a thread may move several."""
    return min(-(-size // MOVING_BLOCK), MOVING_BLOCKS)
