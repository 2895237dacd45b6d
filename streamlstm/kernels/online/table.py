"""Meaning of every number in the table of the online stage, which stands in a model's program.

One table serves every model; the kernels read it from ``program[STAGE]`` on. Offsets in a state row
are those of online/layout.py; where the model lacks a part, its offset is 0.
"""

(
    # Offsets in a state row.
    INPUTS,
    COUNT,
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
    HIDDEN,  # offset in a row of the last hidden state
    SCRATCH,  # floats of working memory
    LEVELS,  # of intervals
    # Anomalies: columns of the first that is watched, of each, constants; and the offset from here
    # of pairs of an input and the output that forecasts it, -1 for none.
    ANOMALY,
    ANOMALY_SIZE,
    ANOMALY_CONSTANTS,
    WATCHED,
    WATCHED_COUNT,
    # The linear part: columns, steps of their ring, weights; and the offset from here of its lags,
    # behind which are the inputs that it reads.
    LAGS,
    LAG_RING,
    LAG_CONSTANTS,
    LAG_LIST,
    LAG_COUNT,
    LAG_INPUTS,  # how many inputs
    # Offsets from here of the output whose forecast fills each input, -1 for none, and of groups.
    OWN,
    GROUPS,
    GROUP_COUNT,
    OWN_ERROR,  # offsets in a result
    NAIVE_ERROR,
    # Differences: columns, how many inputs; the offset from here of these inputs, behind which are
    # for each output its place among them, -1 for none; where levels stand in a result, 0 for none.
    DIFFERENCES,
    DIFFERENCE_COUNT,
    DIFFERENCE_LIST,
    LEVEL,
    # Labels from outside: columns, 0 for none, and those of each output that forecasts no input;
    # and how many are judged in all, these and the inputs that are watched.
    LABELLED,
    LABELLED_SIZE,
    SHARES,
) = range(46)
TARGETS = 48  # from here on for each output the input that it forecasts, -1 for none

# Of each group of outputs (online/layout.py):
(
    FIRST,  # its first output, and how many it has
    SIZE,
    RING,  # steps of its ring of forecasts, and their columns: those of each step together
    FORECASTS,
    # Adaptation: columns, constants.
    ADAPTATION,
    ADAPTATION_CONSTANTS,
    # Intervals: columns of the first output, columns of each, constants; and the ring of the bounds
    # of the widest one, low and high of each output of a forecast.
    INTERVALS,
    INTERVAL_SIZE,
    INTERVAL_CONSTANTS,
    BOUNDS,
    # Tests for drift: columns of the first output, and the constant.
    DRIFTS,
    DRIFT_CONSTANTS,
    # Persistence: the ring of the values with the forecasts, and the usual error of each output.
    HELD,
    USUAL,
    LARGEST,  # the largest error of late of each output with intervals
) = range(15)
GROUP_SIZE = 15
