"""Reads CSV: whole files.

A file is a header and rows: at most one time column, at most one column that names the stream, and
numeric columns. Nothing is repaired: a cell that cannot be used is an error that says where it is,
what was expected and what came.
"""

from .read import read_csv as read_csv
