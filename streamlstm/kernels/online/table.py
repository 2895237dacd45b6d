"""Meaning of every number in the table of the online stage, which stands in a model's program.

One table serves every model, and the kernels read it from ``program[STAGE]`` on.
"""

(
    # Offsets in a state row (streamlstm/online/layout.py).
    INPUTS,
    POSITION,
    FORECASTS,
    RING,  # steps of the ring of forecasts
    # Offsets in a result (streamlstm/network/online.py).
    LOW,
    HIGH,
    ERROR,
    SCORE,
    P_VALUE,
    ALARM,
    KIND,
    FILLED,
    # Intervals: their number, the columns of the first output, columns of each output, constants.
    LEVELS,
    INTERVALS,
    INTERVAL_SIZE,
    INTERVAL_CONSTANTS,
) = range(16)
TARGETS = 32  # from here on for each output the input that it forecasts, -1 for none
