"""``streamlstm convert``."""

from .command import convert as convert
