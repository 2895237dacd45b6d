"""``streamlstm bench``."""

from .command import bench as bench
