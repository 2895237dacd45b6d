"""``streamlstm bridge``: connects a broker to a worker or a fleet."""

from .command import bridge as bridge
