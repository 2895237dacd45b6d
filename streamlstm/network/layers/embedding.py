"""Vectors for categories."""

from dataclasses import dataclass

from ...errors import ModelError
from .base import Layer, Shapes

MAX_CATEGORIES = 2**24  # up to here every integer is a float32


@dataclass(frozen=True)
class Embedding(Layer, kind="embedding"):
    """A vector for each of N categories, in the place of the integer in the first input.

    ``y = [weight[x[0]], x[1], x[2], ...]``: events come as integers from 0 to N - 1, alone or with
    numeric features after them. It is the first layer of a model if it is there at all.

    Parameters
    ----------
    input_size : int
        F: one category and F - 1 numeric features.
    categories : int
        N.
    dimension : int
        D, width of each vector.

    Notes
    -----
    The parameter is ``weight[N, D]``. An observation whose first feature is no integer from 0 to
    N - 1 is refused.
    """

    categories: int
    dimension: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.categories > MAX_CATEGORIES:
            raise ModelError(
                f"Embedding: expected at most {MAX_CATEGORIES} categories, got {self.categories}."
            )

    @property
    def output_size(self) -> int:
        """Width of the output: D + F - 1."""
        return self.dimension + self.input_size - 1

    def parameters(self) -> Shapes:
        """Return name and shape of each parameter."""
        return {"weight": (self.categories, self.dimension)}
