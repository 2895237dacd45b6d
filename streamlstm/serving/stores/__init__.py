"""Where streams are checkpointed beside a worker's memory: LMDB and Redis."""
