"""What the benchmarks of live workers share: a load made by compiled code, and what to hold against.

The load is independent of what it measures: nothing here comes from ``streamlstm.serving``.
"""
