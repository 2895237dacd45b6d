"""Reads series: tables from files, a package a format, and samples of this machine.

Every reader of a format returns a :class:`streamlstm.data.table.Table`. What formats
share is here: `cells` understands numbers and times in text, `order`, `resample` and `spacing`
treat the rows of every table, `checks` its columns. `live` reads rows one by one.
"""
