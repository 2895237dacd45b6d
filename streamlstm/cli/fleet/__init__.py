"""``streamlstm fleet``: many workers that serve one model together."""

from .command import fleet as fleet
