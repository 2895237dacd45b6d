"""Which cells a step of a loop is made of: LSTM, GRU or a plain one, each with its weights."""

from dataclasses import dataclass

import numpy as np

from ...errors import ConvertError
from ..common.weights import Float64Array
from .expressions import Algebra, Atom, Expression, Product, is_diagonal


@dataclass(frozen=True, eq=False)
class Cell:
    """A recurrent cell, its gates in the order of ONNX: i, o, f, c of an LSTM, z, r, h of a GRU.

    Attributes
    ----------
    kind : str
        "LSTM", "GRU" or "RNN".
    source : int
        What it takes: -1 for the row of the input, else the number of an earlier cell.
    weight_x : float64[gates * H, F]
    weight_h : float64[gates * H, H]
    bias_x, bias_h : float64[gates * H]
    activations : tuple of str
        As ONNX lists them: gate, candidate, and cell of an LSTM; gate and candidate of a GRU.
    h, c : int
        Numbers of the states in the loop; c is -1 where there is none.
    peephole : float64[3H], optional
        Of i, o, f.
    before_reset : bool
        Of a GRU: the reset gate multiplies what the hidden state gave, not the hidden state.
    """

    kind: str
    source: int
    weight_x: Float64Array
    weight_h: Float64Array
    bias_x: Float64Array
    bias_h: Float64Array
    activations: tuple[str, ...]
    h: int
    c: int = -1
    peephole: Float64Array | None = None
    before_reset: bool = False


@dataclass(frozen=True, eq=False)
class State:
    """A vector that a loop passes on: its atom, and what it becomes."""

    atom: int
    after: Expression


def find_cells(algebra: Algebra, row: Expression | None, states: dict[int, State]) -> list[Cell]:
    """Return the cells of a step, in the order in which they run.

    Parameters
    ----------
    algebra : Algebra
    row : Expression, optional
        The row of the input of a step.
    states : dict of int to State

    Raises
    ------
    ConvertError
        If a state is neither that of an LSTM, a GRU nor a plain cell.
    """
    left, cells = dict(states), list[Cell]()
    inputs = {-1: row} if row is not None else {}
    while left:
        for match in (_lstm, _gru, _plain):
            cell = match(algebra, inputs, left)
            if cell is not None:
                break
        else:
            raise ConvertError(
                "the loop is none of an LSTM, a GRU or a plain recurrent layer, one behind the "
                "other"
            )
        inputs[len(cells)] = left[cell.h].after
        cells.append(cell)
        for number in (cell.h, cell.c):
            left.pop(number, None)
    return cells


Inputs = dict[int, Expression]
States = dict[int, State]


class _NoMatchError(Exception):
    """What was tried is not what the loop computes."""


def _lstm(algebra: Algebra, inputs: Inputs, states: States) -> Cell | None:
    """Return a cell with ``c' = f c + i g`` and ``h' = o tanh(c')``."""
    for h, hidden in states.items():
        for c, cell in states.items():
            try:
                if h != c:
                    return _lstm_of(algebra, inputs, (h, hidden), (c, cell))
            except _NoMatchError:
                continue
    return None


def _lstm_of(
    algebra: Algebra, inputs: Inputs, hidden: tuple[int, State], cell: tuple[int, State]
) -> Cell:
    (h, H), (c, C) = hidden, cell
    (pair,) = _plain_sums(H.after, 1)
    out, squashed = _which(algebra, pair, lambda a: _is_of(a, C.after))
    sums = _plain_sums(C.after, 2)
    kept = [key for key in sums if C.atom in key]
    added = [key for key in sums if C.atom not in key]
    if len(kept) != 1 or len(added) != 1 or len(kept[0]) != 2 or len(added[0]) != 2:
        raise _NoMatchError
    forget = kept[0][kept[0][0] == C.atom]
    gate = algebra.atoms[forget].name
    first, second = added[0]
    i, g = (first, second) if algebra.atoms[first].name == gate else (second, first)
    names = [algebra.atoms[n].name for n in (i, out, forget, g, squashed)]
    if len(set(names[:3])) != 1 or any(algebra.atoms[n].argument is None for n in (i, g)):
        raise _NoMatchError
    arguments = [_argument(algebra, n) for n in (i, out, forget, g)]
    peepholes = [_peephole(x, (C.atom,)) for x in (arguments[0], arguments[2])]
    seen = _peel(arguments[1], C.after)
    out_peephole = np.zeros(C.after.width) if seen is None else np.diag(seen[0])
    if seen is not None and not is_diagonal(seen[0]):
        raise _NoMatchError
    arguments[0], arguments[2] = peepholes[0][1], peepholes[1][1]
    arguments[1] = arguments[1] if seen is None else seen[1]
    P = np.concatenate([peepholes[0][0], out_peephole, peepholes[1][0]])
    source, W, R, b = _weights(arguments, inputs, H)
    return Cell(
        "LSTM", source, W, R, b, np.zeros_like(b), (names[0], names[3], names[4]), h, c,
        P if P.any() else None,
    )  # fmt: skip


def _gru(algebra: Algebra, inputs: Inputs, states: States) -> Cell | None:
    """Return a cell with ``h' = z h + (1 - z) n``."""
    for h, state in states.items():
        try:
            return _gru_of(algebra, inputs, h, state)
        except _NoMatchError:
            continue
    return None


def _gru_of(algebra: Algebra, inputs: Inputs, h: int, state: State) -> Cell:
    z, n, turned = _mixed(state)
    update, candidate = algebra.atoms[z], algebra.atoms[n]
    argument = _argument(algebra, z)
    if turned:
        if update.name != "sigmoid":
            raise _NoMatchError
        argument = argument.scaled(np.array(-1.0))
    rest, r, R_n, b_n, before = _reset(algebra, _argument(algebra, n), state)
    if algebra.atoms[r].name != update.name:
        raise _NoMatchError
    source, W, R, b = _weights([argument, _argument(algebra, r), rest], inputs, state)
    N = state.after.width
    R[2 * N :] = R_n
    zero = np.zeros(2 * N)
    names = (update.name, candidate.name)
    return Cell("GRU", source, W, R, b, np.concatenate([zero, b_n]), names, h, before_reset=before)


def _mixed(state: State) -> tuple[int, int, bool]:
    """Return update gate and candidate, and whether the gate is that of the candidate."""
    signs = _signs(state.after)
    h = state.atom
    for z in {n for key in signs for n in key} - {h}:
        for n in {n for key in signs for n in key} - {h, z}:
            with_h, with_n = tuple(sorted((h, z))), tuple(sorted((n, z)))
            if signs == {with_h: 1.0, (n,): 1.0, with_n: -1.0}:
                return z, n, False
            if signs == {(h,): 1.0, with_h: -1.0, with_n: 1.0}:
                return z, n, True
    raise _NoMatchError


def _reset(
    algebra: Algebra, x: Expression, state: State
) -> tuple[Expression, int, Float64Array, Float64Array, bool]:
    """Split the candidate's argument at what the reset gate multiplies."""
    N, h = state.after.width, state.atom
    pairs = [key for key in x.terms if len(key) == 2]
    if len(pairs) != 1:
        raise _NoMatchError
    pair, rest = pairs[0], {key: m for key, m in x.terms.items() if key not in pairs}
    mixed = [n for n in pair if algebra.atoms[n].name == "linear"]
    if mixed:
        inner = _argument(algebra, mixed[0])
        if inner.terms.keys() != {(h,)} or not np.array_equal(x.terms[pair], np.eye(N)):
            raise _NoMatchError
        r = pair[pair[0] == mixed[0]]
        return Expression(x.bias, rest), r, inner.terms[(h,)], inner.bias, True
    if h not in pair:
        raise _NoMatchError
    r = pair[pair[0] == h]
    bias = rest.pop((r,), None)  # the product of a diagonal matrix was multiplied out
    if bias is not None and not (is_diagonal(bias) and is_diagonal(x.terms[pair])):
        raise _NoMatchError
    shift = np.zeros(N) if bias is None else np.diag(bias)
    return Expression(x.bias, rest), r, x.terms[pair], shift, bias is not None


def _plain(algebra: Algebra, inputs: Inputs, states: States) -> Cell | None:
    """Return a cell with ``h' = activation(...)``."""
    for h, state in states.items():
        try:
            ((n,),) = _plain_sums(state.after, 1)
            source, W, R, b = _weights([_argument(algebra, n)], inputs, state)
        except (_NoMatchError, ValueError):
            continue
        return Cell("RNN", source, W, R, b, np.zeros_like(b), (algebra.atoms[n].name,), h)
    return None


def _weights(
    gates: list[Expression], inputs: Inputs, state: State
) -> tuple[int, Float64Array, Float64Array, Float64Array]:
    """Return which input the gates take, and the matrices of input and hidden state, and bias."""
    N = state.after.width
    if any(gate.width != N for gate in gates):
        raise _NoMatchError
    recurrent = np.concatenate([gate.terms.get((state.atom,), np.zeros((N, N))) for gate in gates])
    rest = [
        Expression(gate.bias, {k: m for k, m in gate.terms.items() if k != (state.atom,)})
        for gate in gates
    ]
    for source, x in inputs.items():
        found = [_peel(gate, x) or (np.zeros((N, x.width)), gate) for gate in rest]
        if all(not left.terms for _, left in found) and any(matrix.any() for matrix, _ in found):
            bias = np.concatenate([gate.bias for _, gate in found])
            return source, np.concatenate([matrix for matrix, _ in found]), recurrent, bias
    raise _NoMatchError


def _peel(x: Expression, part: Expression) -> tuple[Float64Array, Expression] | None:
    """Return ``M`` and the rest of ``x = M @ part + rest``; None if ``part`` is not in it."""
    signs = _signs(part)
    first = next(iter(signs), None)
    if first is None or first not in x.terms or part.bias.any():
        return None
    matrix = x.terms[first] * signs[first]
    rest = x.plus(part.times(-matrix))
    kept = {
        key: m for key, m in rest.terms.items() if np.abs(m).max() > 1e-9 * np.abs(matrix).max()
    }
    return None if first in kept else (matrix, Expression(rest.bias, kept))


def _peephole(x: Expression, key: Product) -> tuple[Float64Array, Expression]:
    """Return the diagonal of ``key`` in an expression, and the rest."""
    matrix = x.terms.get(key, np.zeros((x.width, x.width)))
    if not is_diagonal(matrix):
        raise _NoMatchError
    rest = {other: m for other, m in x.terms.items() if other != key}
    return np.diag(matrix).copy(), Expression(x.bias, rest)


def _signs(x: Expression) -> dict[Product, float]:
    """Return the factors of an expression if each is one number for all elements: 1 or -1."""
    found = {}
    for key, matrix in x.terms.items():
        sign = float(np.sign(matrix[0, 0]))
        if not sign or not np.allclose(matrix, sign * np.eye(x.width), rtol=1e-6, atol=0):
            raise _NoMatchError
        found[key] = sign
    return found


def _plain_sums(x: Expression, count: int) -> list[Product]:
    """Return the products of an expression that adds just these."""
    signs = _signs(x)
    if len(signs) != count or set(signs.values()) != {1.0} or x.bias.any():
        raise _NoMatchError
    return list(signs)


def _which(algebra: Algebra, pair: Product, test: object) -> tuple[int, int]:
    """Return the two atoms of a product, the one that passes the test behind the other."""
    if len(pair) != 2:
        raise _NoMatchError
    passed = [n for n in pair if test(algebra.atoms[n])]  # type: ignore[operator]
    if len(passed) != 1:
        raise _NoMatchError
    return pair[pair[0] == passed[0]], passed[0]


def _is_of(atom: Atom, x: Expression) -> bool:
    return atom.argument is not None and atom.argument.equals(x)


def _argument(algebra: Algebra, number: int) -> Expression:
    argument = algebra.atoms[number].argument
    if argument is None:
        raise _NoMatchError
    return argument
