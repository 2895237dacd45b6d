"""Meaning of every number in the table of the online stage, which stands in a model's program.

One table serves every model; the kernels read it from ``program[STAGE]`` on. Offsets in a state row
are those of online/layout.py; where the model lacks a part, its offset is 0.
"""

(
    # Offsets in a state row.
    INPUTS,
    COUNT,
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
    DRIFT,
    COVERED,
    # Fill: columns, constants.
    FILL,
    FILL_CONSTANTS,
    # Calendar: columns, constants, and the table of its time zone.
    CALENDAR,
    CALENDAR_CONSTANTS,
    TRANSITIONS,  # offset from here of pairs of float64
    TRANSITION_COUNT,
    # Scaling by stream: columns, and the units of inputs.
    SCALING,
    SCALING_CONSTANTS,
    # Adaptation: columns, constants, and the offset in a row of the last hidden state.
    ADAPTATION,
    ADAPTATION_CONSTANTS,
    HIDDEN,
    SCRATCH,  # floats of working memory
    # Intervals: their number, the columns of the first output, columns of each output, constants;
    # and the ring of the bounds of the widest one, low and high of each output of a forecast.
    LEVELS,
    INTERVALS,
    INTERVAL_SIZE,
    INTERVAL_CONSTANTS,
    BOUNDS,
    # Anomalies: columns of the first that is watched, of each, constants; and the offset from here
    # of pairs of an input and the output that forecasts it, -1 for none.
    ANOMALY,
    ANOMALY_SIZE,
    ANOMALY_CONSTANTS,
    WATCHED,
    WATCHED_COUNT,
    # Tests for drift: columns of the first output, and the constant.
    DRIFTS,
    DRIFT_CONSTANTS,
) = range(38)
TARGETS = 48  # from here on for each output the input that it forecasts, -1 for none
