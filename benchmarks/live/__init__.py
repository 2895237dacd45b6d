"""Shared parts of the benchmarks of workers: a compiled load generator, and other servers.

The load generator is independent of the worker: it uses nothing of ``streamlstm.serving``.
"""
