"""What a step of a loop computes, as sums of matrices times products of vectors.

An :class:`Expression` is ``bias + sum(matrix @ product)``, where a product multiplies atoms,
element by element. Atoms are what no such sum expresses: the row of a step, a state, an activation
of an expression. However an exporter writes a cell (one kernel or one for each gate, biases added
before or behind, ``h + z * (n - h)`` or ``(1 - z) * n + z * h``), it comes out as the same.
"""

from dataclasses import dataclass, field
from itertools import product

import numpy as np

from ..common.weights import Float64Array

Product = tuple[int, ...]  # numbers of atoms, in rising order


@dataclass(frozen=True, eq=False)
class Expression:
    """A vector: ``bias[n] + sum(terms[product][n, k] @ product)``."""

    bias: Float64Array
    terms: dict[Product, Float64Array] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Number of its elements."""
        return len(self.bias)

    def equals(self, other: "Expression") -> bool:
        """Return whether both are the same sum, up to the order in which floats were added."""
        return (
            self.terms.keys() == other.terms.keys()
            and _close(self.bias, other.bias)
            and all(_close(matrix, other.terms[key]) for key, matrix in self.terms.items())
        )

    def times(self, matrix: Float64Array) -> "Expression":
        """Return ``matrix[m, n] @ self``."""
        return _cleaned(matrix @ self.bias, {key: matrix @ m for key, m in self.terms.items()})

    def rows(self, part: slice) -> "Expression":
        """Return some of its elements."""
        return _cleaned(self.bias[part], {key: m[part] for key, m in self.terms.items()})

    def scaled(self, factor: Float64Array) -> "Expression":
        """Return it with each element multiplied by one of ``factor[n]``, or by a number."""
        factor = np.broadcast_to(factor, self.bias.shape)
        return _cleaned(
            self.bias * factor, {key: m * factor[:, None] for key, m in self.terms.items()}
        )

    def plus(self, other: "Expression") -> "Expression":
        """Return the sum of two expressions; one of a single number is added to each element."""
        if self.width < other.width:
            return other.plus(self)
        if other.width < self.width:
            other = Expression(np.repeat(other.bias, self.width // other.width), other.terms)
        terms = dict(self.terms)
        for key, matrix in other.terms.items():
            terms[key] = terms[key] + matrix if key in terms else matrix
        return _cleaned(self.bias + other.bias, terms)


def constant(values: Float64Array) -> Expression:
    """Return a vector of numbers."""
    return Expression(np.asarray(values, np.float64).reshape(-1))


def joined(parts: list[Expression]) -> Expression:
    """Return the elements of several expressions behind each other."""
    ends = np.cumsum([part.width for part in parts])
    terms: dict[Product, Float64Array] = {}
    for part, end in zip(parts, ends, strict=True):
        for key, matrix in part.terms.items():
            whole = terms.setdefault(key, np.zeros((ends[-1], matrix.shape[1])))
            whole[end - part.width : end] = matrix
    return Expression(np.concatenate([part.bias for part in parts]), terms)


@dataclass(frozen=True, eq=False)
class Atom:
    """A vector that is no sum: ``name`` of an activation with its argument, else a given one."""

    name: str
    width: int
    argument: Expression | None = None

    def is_same(self, other: "Atom") -> bool:
        """Return whether both stand for the same vector."""
        if (self.name, self.width) != (other.name, other.width):
            return False
        if self.argument is None or other.argument is None:
            return self.argument is other.argument
        return self.argument.equals(other.argument)


class Algebra:
    """The atoms of a loop, and what makes new ones."""

    def __init__(self) -> None:
        self.atoms: list[Atom] = []

    def given(self, name: str, width: int) -> Expression:
        """Return a row of the input, or a state."""
        return self._one(Atom(name, width))

    def activation(self, name: str, x: Expression) -> Expression:
        """Return an activation of each element."""
        return self._one(Atom(name, x.width, x))

    def multiplied(self, a: Expression, b: Expression) -> Expression:
        """Return the product of two expressions, element by element."""
        if not a.terms or not b.terms:
            return b.scaled(a.bias) if not a.terms else a.scaled(b.bias)
        found = Expression(np.zeros(a.width))
        for (key, x), (other, y) in product(self._factors(a), self._factors(b)):
            both = tuple(sorted(key + other))
            found = found.plus(_cleaned(np.zeros(a.width), {both: np.diag(x * y)}))
        if not found.terms.get((), np.zeros(1)).any():
            return found
        number = np.diag(found.terms[()])
        return Expression(number, {key: m for key, m in found.terms.items() if key})

    def _factors(self, x: Expression) -> list[tuple[Product, Float64Array]]:
        """Return the terms of an expression; where it mixes elements, it becomes one atom."""
        if not all(is_diagonal(matrix) for matrix in x.terms.values()):
            x = self.activation("linear", x)
        found = [(key, np.diag(matrix).copy()) for key, matrix in x.terms.items()]
        return [*found, ((), x.bias)] if x.bias.any() else found

    def _one(self, atom: Atom) -> Expression:
        known = [n for n, other in enumerate(self.atoms) if other.is_same(atom)]
        number = known[0] if known else len(self.atoms)
        if not known:
            self.atoms.append(atom)
        return Expression(np.zeros(atom.width), {(number,): np.eye(atom.width)})


def is_diagonal(matrix: Float64Array) -> bool:
    """Return whether a matrix multiplies each element by itself."""
    return matrix.shape[0] == matrix.shape[1] and not (matrix - np.diag(np.diag(matrix))).any()


def _cleaned(bias: Float64Array, terms: dict[Product, Float64Array]) -> Expression:
    return Expression(bias, {key: matrix for key, matrix in terms.items() if matrix.any()})


def _close(a: Float64Array, b: Float64Array) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-6, atol=1e-9))
