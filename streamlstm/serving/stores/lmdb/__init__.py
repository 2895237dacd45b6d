"""Stores in LMDB: the store of a worker, and what other programs do with its files."""

from .store import LmdbStore as LmdbStore
