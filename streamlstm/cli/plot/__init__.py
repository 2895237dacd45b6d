"""``streamlstm plot``."""

from .command import plot as plot
