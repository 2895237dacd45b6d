"""Checkpoints of streams: the checkpointer, and the stores it writes to (LMDB, Redis)."""
