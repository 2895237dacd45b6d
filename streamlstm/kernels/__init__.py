"""Compiled kernels: arrays in, arrays out, without objects and without I/O.

reference.py is their specification; docs/architecture.md lists the files that a new activation or
layer touches.
"""
