"""``streamlstm serve``."""

from .command import serve as serve
