"""``streamlstm gates``."""

from .command import gates as gates
