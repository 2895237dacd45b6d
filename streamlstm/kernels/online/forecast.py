"""Outputs of one stream, and the errors of the forecasts that were due.

A network that is scaled by the stream's own mean and deviation works in the unit of training: there
inputs and outputs are what they would be if the stream had the level and the spread of that series.
"""

import numpy as np
from numba import float64, int64

from .. import layout
from ..cache import inlined
from . import adaptation, fill, table
from .anomaly_columns import MISSING, NONE
from .arguments import count_step, place_of
from .differences import write_levels
from .elementary import one_by_one, write_unknown
from .lags import add_lags
from .persistence import relative_errors
from .unit import from_training, to_training, unit_of

LARGEST_ERROR = 3.4028234663852886e38  # that float32 holds: the next is infinite


@inlined
def bounded_error(error):
    """Return an error that float32 holds, however far two values are apart; NaN as it is."""
    if abs(error) > LARGEST_ERROR:
        error = LARGEST_ERROR if error > 0.0 else -LARGEST_ERROR
    return error


@inlined
def output_of(weights, program, n):
    """Return what :func:`network_output` needs to know of output ``n``.

    Scale and offset, the input that is added to it, -1 for none, the factor of that and its unit.
    """
    O, scale, skip = program[layout.OUTPUTS], program[layout.OUTPUT_SCALING], program[layout.SKIP]
    source = program[skip + n] if skip >= 0 else int64(-1)
    factor = float64(weights[program[layout.SKIP_SCALE] + n]) if source >= 0 else 0.0
    unit = unit_of(weights, program, max(source, 0))
    return float64(weights[scale + n]), float64(weights[scale + O + n]), source, factor, unit


@inlined
def network_output(S, row, inputs, output, y):
    """Return an output of the network in the unit of training.

    Parameters
    ----------
    inputs : int64
        Where in a row the inputs are, as they were filled.
    output : tuple
        As :func:`output_of` returns it.
    y : float64
        The output, not scaled back.
    """
    scale, offset, source, factor, unit = output
    y = y * scale + offset
    if source >= 0:
        y += to_training(S, row, unit, float64(S[row + inputs + source])) * factor
    return y


@inlined
def _network(weights, program, S, row, Z, z, out):
    """Write the network's outputs in the unit of training to ``Z[out]``."""
    inputs = program[program[layout.STAGE] + table.INPUTS]
    for n in range(program[layout.OUTPUTS]):
        output = output_of(weights, program, n)
        Z[out + n] = network_output(S, row, inputs, output, float64(Z[z + n]))


@inlined
def is_absent(weights, program, S, row, n):
    """Tell whether input ``n`` has not come for longer than a gap may be, or never."""
    stage, F = program[layout.STAGE], program[layout.INPUTS]
    if program[stage + table.FILL] == 0:
        return False
    at, k = row + program[stage + table.FILL], program[stage + table.FILL_CONSTANTS]
    return S[at + fill.SEEN * F + n] == 0.0 or S[at + fill.GAP * F + n] > weights[k + fill.MAX_GAP]


@inlined
def is_forecast(program, n):
    """Tell whether any output forecasts input ``n``."""
    stage, forecast = program[layout.STAGE], False
    for output in range(program[layout.OUTPUTS]):
        if program[stage + table.TARGETS + output] == n:
            forecast = True
    return forecast


@inlined
def absences(weights, program, S, row):
    """Tell whether any input is absent, and whether one is that no output forecasts."""
    any_input, unforecast = False, False
    for n in range(program[layout.INPUTS]):
        if is_absent(weights, program, S, row, n):
            any_input, unforecast = True, unforecast or not is_forecast(program, n)
    return any_input, unforecast


@inlined
def adapt(weights, program, group, sizes, S, row, X, x, count, Z, out, came, work):
    """Learn from what has come, and replace the group's outputs at ``Z[out]`` by the mix's.

    ``sizes`` are those of the group's adaptation.
    """
    stage, first = program[layout.STAGE], program[group + table.FIRST]
    O = program[group + table.SIZE]
    at, k = row + program[group + table.ADAPTATION], program[group + table.ADAPTATION_CONSTANTS]
    inputs, hidden = row + program[stage + table.INPUTS], row + program[stage + table.HIDDEN]
    for n in range(O):
        one_by_one()
        target = program[stage + table.TARGETS + first + n]
        Z[came + n] = np.nan
        if target >= 0 and X[x + target] == X[x + target]:
            unit = unit_of(weights, program, target)
            Z[came + n] = to_training(S, row, unit, float64(S[inputs + target]))
    adaptation.update(S, at, sizes, weights, k, Z, came, Z, work)
    for n in range(O):  # a missing value's place is taken by what it was filled with
        one_by_one()
        target = program[stage + table.TARGETS + first + n]
        if target >= 0:
            unit = unit_of(weights, program, target)
            Z[came + n] = to_training(S, row, unit, float64(S[inputs + target]))
    adaptation.predict(
        S, at, sizes, weights, k, hidden, Z, came, Z, out, count, Z, work
    )  # fmt: skip


@inlined
def bounds_at(program, group, row, position, n):
    """Return where the bounds of output ``n`` are kept that were shown with a forecast."""
    place = position * program[group + table.SIZE] + n - program[group + table.FIRST]
    return row + program[group + table.BOUNDS] + 2 * place


@inlined
def covered(came, low, high, error):
    """Tell whether what came was within the bounds shown: 1 or 0, NaN where one is not known."""
    inside = 1.0 if (low <= came) & (came <= high) else 0.0
    return inside if (error == error) & (low == low) else np.nan


@inlined
def held_at(program, group, row, position, n):
    """Return where the value that output ``n`` forecasts is kept, as it was with a forecast."""
    place = position * program[group + table.SIZE] + n - program[group + table.FIRST]
    return row + program[group + table.HELD] + place


@inlined
def _relate(program, group, S, row, position, n, value, count, Y, y):
    """Compare the error of output ``n`` with that of persistence; ``S[value]`` is what came."""
    stage, error = program[layout.STAGE], Y[y + program[program[layout.STAGE] + table.ERROR] + n]
    usual = row + program[group + table.USUAL] + n - program[group + table.FIRST]
    held = float64(S[held_at(program, group, row, position, n)])
    own, naive, after = relative_errors(
        float64(S[usual]), held, float64(S[value]), float64(error), float64(count)
    )
    S[usual] = after
    Y[y + program[stage + table.OWN_ERROR] + n] = own
    Y[y + program[stage + table.NAIVE_ERROR] + n] = naive


@inlined
def _forecast_group(weights, program, group, S, row, X, x, count, absent, Z, Y, y, places):
    """Write the outputs of a group, and the errors of those that were due.

    ``absent`` tells whether any input is absent, and whether one is that no output forecasts.
    """
    stage, first = program[layout.STAGE], program[group + table.FIRST]
    size, out = program[group + table.SIZE], places[0] + first
    inputs = row + program[stage + table.INPUTS]
    if program[group + table.ADAPTATION] != 0:
        sizes = adaptation.sizes_of(weights, program[group + table.ADAPTATION_CONSTANTS])
        adapt(weights, program, group, sizes, S, row, X, x, count, Z, out, places[1], places[2])
    position = place_of(count, program[group + table.RING])
    due = row + program[group + table.FORECASTS] + position * size - first
    for n in range(first, first + size):
        target, error_at = program[stage + table.TARGETS + n], y + program[stage + table.ERROR] + n
        value, unknown = float64(Z[out + n - first]), absent[0]
        if target >= 0:
            value = from_training(S, row, unit_of(weights, program, target), value)
            if X[x + target] == X[x + target]:
                error = float64(S[inputs + target]) - float64(S[due + n])
                Y[error_at] = bounded_error(error)
                _relate(program, group, S, row, position, n, inputs + target, count, Y, y)
            S[held_at(program, group, row, position, n)] = S[inputs + target]
            if absent[0] and not absent[1]:
                unknown = is_absent(weights, program, S, row, target)
        Y[y + n] = np.nan if unknown else value
        S[due + n] = Y[y + n]
        if program[stage + table.LEVELS] > 0:
            shown = bounds_at(program, group, row, position, n)
            came = float64(S[inputs + max(target, 0)])
            low, high = float64(S[shown]), float64(S[shown + 1])
            inside = covered(came, low, high, float64(Y[error_at]))
            Y[y + program[stage + table.COVERED] + n] = inside


@inlined
def group_at(program, g):
    """Return where the table of the ``g``-th group of outputs begins."""
    stage = program[layout.STAGE]
    return stage + program[stage + table.GROUPS] + g * table.GROUP_SIZE


@inlined
def forecast(weights, program, S, row, X, x, Z, z, Y, y, places):
    """Write outputs and errors of one stream to ``Y[y]``, and all else as not known.

    Returns
    -------
    (int64, bool)
        The number of steps before this one, and whether an input is absent.
    """
    stage = program[layout.STAGE]
    write_unknown(Y, y, program[layout.RESULT])
    count = count_step(S, row + program[stage + table.COUNT])
    if program[stage + table.LAGS] != 0:
        add_lags(weights, program, S, row, count, Z, z, places[2])
    _network(weights, program, S, row, Z, z, places[0])
    absent = absences(weights, program, S, row)
    for g in range(program[stage + table.GROUP_COUNT]):
        group = group_at(program, g)
        _forecast_group(weights, program, group, S, row, X, x, count, absent, Z, Y, y, places)
    missing = 0
    for n in range(program[layout.INPUTS]):
        if X[x + n] != X[x + n]:
            missing += 1
    Y[y + program[stage + table.FILLED]] = missing
    Y[y + program[stage + table.DRIFT]] = 0
    Y[y + program[stage + table.ALARM]] = 0
    Y[y + program[stage + table.KIND]] = MISSING if absent[0] else NONE
    if program[stage + table.LEVEL] != 0:
        write_levels(program, S, row, Y, y, 1)
    return count, absent[0]
