"""``streamlstm bridge``: between a broker and workers."""

from .command import bridge as bridge
