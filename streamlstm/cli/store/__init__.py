"""``streamlstm store``: checks, copies and describes an LMDB store."""

from .command import store as store
