"""``streamlstm top``."""

from .command import top as top
