"""Reads CSV row by row for live streams.

A file is a header and rows: at most one time column, at most one column that names the stream, and
numeric columns. Nothing is repaired: a cell that cannot be used is an error that says where it is,
what was expected and what came.
"""

from .iterate import CsvRow as CsvRow
from .iterate import iterate_csv as iterate_csv
