"""Columns and constants of anomaly.py; the equations are in online/anomaly.py."""

import math

from .season import SEASON_SIZE
from .tail import TAIL_SIZE

# Columns of the state; after them those of tail.py, of season.py, and those that few rows need.
(
    COUNT,  # values since the start, or since everything was learnt anew
    MEAN,
    SPREAD,  # standard deviation
    LOW,  # the range so far
    HIGH,
    ERROR,  # mean size of the errors, in spreads, of forecasts
    SEASON_ERROR,  # and of the season
    SHORT,  # mean of the last errors in units of these: of forecasts
    LONG,  # and of the season
    ACTIVITY,  # mean size of the last errors of forecasts,
    USUAL,  # and of its logarithm over a long time
    SHORT_RECORD,  # what SHORT, LONG and calm have reached, slowly forgotten
    LONG_RECORD,
    CALM_RECORD,
    SHORT_SIZE,  # the mean size of SHORT, LONG and the change of activity
    LONG_SIZE,
    CHANGE_SIZE,
    SLOW,  # mean of many errors of the season,
    SLOW_SIZE,  # and the mean size of that
    NOVELTIES,  # values outside the range so far,
    NOVELTY,  # and the mean of how far, as a logarithm, above FIRST_NOVELTY
    PEAK,  # of the score, soon forgotten
    LAST,  # value
    STRANGE,  # rows in succession that are of another size than all before
    KIND,  # of the alarm that stands
) = range(25)
TAIL = 25
SEASON = TAIL + TAIL_SIZE
RARE = SEASON + SEASON_SIZE
(
    GAP,  # missing values in succession,
    LONGEST_GAP,  # and the most so far
    REPEATS,  # values in succession that repeat the one before,
    LONGEST_RUN,  # the most so far,
    ALIKE,  # and all of them
) = range(RARE, RARE + 5)
SIZE = RARE + 5

ALARM_RATE, LOG_ALARM_RATE = range(2)
NONE, SPIKE, LEVEL, VARIANCE, CALM, NOVEL, MISSING = range(7)

START = 100.0  # values before anything is said
MEMORY = 0.001  # weight of a value in means over a long time; before, 1 / (count + 1)
FRESH = 2.0  # those of sizes weigh 2 / (count + 2), so that they soon forget the start
COUNTED = 2.0**24 - 2.0  # even, see SETTLED
SETTLED = 1000.0  # values; later the calendar model learns from every other one: half of its cost
HUGE, TINY = 1e37, 1e-37
SHORT_ROWS, LONG_ROWS, ACTIVITY_ROWS = 5.0, 24.0, 6.0
PER_SHORT, PER_LONG, PER_ACTIVITY = 1.0 / SHORT_ROWS, 1.0 / LONG_ROWS, 1.0 / ACTIVITY_ROWS
BOUND = 8.0  # of a value, in spreads
ERROR_BOUND = 4.0  # of an error that enters a mean, in units of the usual one
LEARNED_BOUND = 5.0  # and of one that the usual one learns from
LEAST_ERROR = 1e-3
LEAST_ACTIVITY = 0.02
FORGET = 3e-4  # of a record, a row
RECORD_GROWTH = 5.0
RATIO = 40.0  # of twice a size to its record
NOVELTY_UNIT = 0.1  # of the range: novelties are told apart by log(1 + distance / this)
FIRST_NOVELTY = 0.5  # such a logarithm, before any is known
NOVELTY_WEIGHT = 0.5
NOVELTY_MOST = 6.0
NOVEL_SIZE, DECADE = 1.8, 1.5  # novelty is as rare as a size of 1.8 1.5^decades times the usual
LOG_DECADE = math.log(DECADE)
LEAST_SIZE = 1e-3
LASTING = 2.0  # variance is told of rows with an error this many times its usual size
UNREST, CALMNESS = 1.2, 0.9  # give changes of normal noise the tail that its errors have
QUIET, QUIET_LEAST = 0.1, 20.0  # a peak is forgotten in this share of the rows so far
STRANGE_ROWS = 32.0
STILL = 1e-6  # of a spread: changes below it, but not 0, are of another size
ACTIVITY_BOUND = 8.0
SINGLE_BOUND = 50.0  # of a single error, in units of the usual one
GAP_ALARM, GAP_RATIO = 8.0, 2.0
LEAST_RUN, RUN_GROWTH = 4.0, 4.0  # the longest run counts as this at least, and grows so much
PER_SLOW, SLOW_MEMORY = 0.01, 2e-4
SLOW_START = 1000.0  # values before a slow change is told
SLOW_LEARNED, SLOW_TOLD = 3.0, 5.5  # times its usual size: what that learns from, what is told
SLOW_TAIL = 0.32  # a normal mean beyond r times its mean size is as rare as exp(-SLOW_TAIL r r)
