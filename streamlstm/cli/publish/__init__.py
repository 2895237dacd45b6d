"""``streamlstm publish``."""

from .command import publish as publish
