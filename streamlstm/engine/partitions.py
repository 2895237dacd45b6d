"""The partitions of streams: which part of a fleet each id belongs to."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .block_packing import pack_unsigned
from .ids import StreamId


def partitions_of(streams: Sequence[StreamId]) -> NDArray[np.int64]:
    """Return the partition of each valid id, int64[B]."""
    from ..kernels import compile

    call, found = compile.partition_entries(), np.empty(len(streams), np.int64)
    is_text = np.array([isinstance(stream, str) for stream in streams], np.bool_)
    texts = [stream.encode() for stream in streams if isinstance(stream, str)]
    if texts:
        ends = np.cumsum([len(text) for text in texts])
        of_texts = np.empty(len(texts), np.int64)
        call.text_partitions(b"".join(texts).decode("latin-1"), ends, of_texts)
        found[is_text] = of_texts
    numbers = pack_unsigned([stream for stream in streams if not isinstance(stream, str)])
    if numbers is not None and len(numbers):
        of_numbers = np.empty(len(numbers), np.int64)
        call.integer_partitions(numbers, of_numbers)
        found[~is_text] = of_numbers
    return found
