"""Layers as training sees them, a file each: parameters, kernels forward and backward, export."""

from collections.abc import Callable
from typing import Any

from ...errors import ModelError, shown
from . import adam_step, embedding, gru, layer_norm, lstm, multiply, rnn
from .block import Block as Block
from .block import BlockTape as BlockTape
from .block import State as State
from .embedding import EmbeddingBlock as EmbeddingBlock
from .gru import GRUBlock
from .layer_norm import LayerNormBlock as LayerNormBlock
from .lstm import LSTMBlock
from .recurrent import RecurrentBlock as RecurrentBlock
from .rnn import RNNBlock

CELLS: dict[str, Callable[[int, int], RecurrentBlock]] = {
    "lstm": LSTMBlock,
    "gru": GRUBlock,
    "rnn": RNNBlock,
}
"""Recurrent layers by the name of their cell; each takes F and H."""

KERNELS: tuple[Any, ...] = (
    adam_step.step,
    *multiply.KERNELS,
    *lstm.LOOPS,
    *gru.LOOPS,
    *rnn.LOOPS,
    *layer_norm.KERNELS,
    *embedding.KERNELS,
)
"""Those of training, which is in float32."""


def block_of(cell: str) -> Callable[[int, int], RecurrentBlock]:
    """Return the recurrent layer of a cell.

    Raises
    ------
    ModelError
        If there is no such cell.
    """
    if cell not in CELLS:
        raise ModelError(f"cell: expected one of {', '.join(CELLS)}, got {shown(cell)}.")
    return CELLS[cell]


def compile_kernels(*cells: str) -> None:
    """Compile the kernels of some cells, by default of all, or load them from the cache."""
    adam_step.run_once()
    for cell in cells or CELLS:
        block_of(cell)(1, 1).run_once()
    if not cells:
        LayerNormBlock(1).run_once()
        EmbeddingBlock(1, 1, 1).run_once()
