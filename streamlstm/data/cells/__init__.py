"""Understands columns of cells: missing values, numbers, times.

A recogniser looks at a whole column and returns its format; a format converts the column, and
single cells as they come live.
"""
