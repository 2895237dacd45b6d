"""What the benchmarks of live workers share: a compiled load, and what to hold against.

The load is independent of what it measures: nothing here comes from ``streamlstm.serving``.
"""
