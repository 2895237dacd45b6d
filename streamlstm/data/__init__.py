"""Reads series: tables from files, a package a format, and samples of this machine.

Every reader of a format returns a :class:`streamlstm.data.table.Table`. What formats share is here:
numbers (`cells`) and times (`timestamps`) in text, and the order of times (`time_order`).
"""
