"""The base class of all layer specifications."""

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from ...errors import ModelError, shown
from ..activations import parse_activation

Shapes = dict[str, tuple[int, ...]]
"""Shape of each array by name."""

MAX_SIZE = 2**31 - 1  # of a layer
MAX_FLOAT32 = 3.4e38

KINDS: dict[str, Callable[..., "Layer"]] = {}
"""The class of each kind of layer; :class:`Layer` registers its subclasses here."""


@dataclass(frozen=True)
class Layer:
    """A layer: sizes and options, without weights and without arithmetic.

    A subclass is a frozen dataclass that states its kind, ``class LSTM(Layer, kind="lstm")``. Its
    fields are checked by their types (which must not be postponed): an int is a size of 1 or
    more, a float is greater than zero, a str names an activation.

    Parameters
    ----------
    input_size : int
        Width of the input.

    Attributes
    ----------
    kind : str
        Name of the layer's kind in a model file.
    output_size : int
        Width of the output.

    Raises
    ------
    ModelError
        If a field has a value that its type does not allow.
    """

    input_size: int
    kind: ClassVar[str]
    allows_softmax: ClassVar[bool] = False
    """True if an activation may depend on all outputs of the layer together."""
    over_rows: ClassVar[bool] = False
    """True if an output depends on other rows of a window than the states of the layer tell."""
    choices: ClassVar[dict[str, tuple[str, ...]]] = {}
    """Fields that name one of some words, and these words."""
    may_be_zero: ClassVar[tuple[str, ...]] = ()
    """Fields that are integers of 0 or more."""

    if TYPE_CHECKING:  # a field of some layers, a property of others

        @property
        def output_size(self) -> int:
            """Width of the output."""

    def __init_subclass__(cls, kind: str = "") -> None:
        if kind:  # none is what several kinds have in common
            cls.kind = kind
            KINDS[kind] = cls

    def __post_init__(self) -> None:
        for field in fields(self):
            self._check(field)

    @property
    def state(self) -> dict[str, int]:
        """Name and width of each state vector, in the order of the state row."""
        return {}

    @property
    def window_state(self) -> dict[str, int]:
        """Those of them that are kept where the layer runs over all rows of a window."""
        return self.state

    @property
    def hidden(self) -> str:
        """Name of the state vector that is the hidden state, empty if there is none."""
        return "h" if "h" in self.state else ""

    @property
    def can_step(self) -> bool:
        """Whether the layer can run row by row, without a window."""
        return not self.over_rows

    @property
    def file_version(self) -> int:
        """The first version of the model file that has the layer."""
        return 5 if self.over_rows else 1

    def initial_of(self, state: str) -> str:
        """Return the name of the parameter with the initial state of a state vector, if any."""
        return f"initial_{state}"

    def rows_of(self, rows: int) -> int:
        """Return how many rows the layer makes of so many of a window; 0 if it cannot."""
        return rows

    def parameters(self) -> Shapes:
        """Return name and shape of each parameter."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return the specification as plain values for JSON, the kind first.

        Fields with their default value are left out: a layer that gains an option later keeps its
        description, and a model its fingerprint.
        """
        options = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }
        return {"kind": self.kind, **options}

    @staticmethod
    def from_dict(spec: dict[str, Any]) -> "Layer":
        """Build a layer from what :meth:`to_dict` returned.

        Raises
        ------
        ModelError
            If the kind is unknown or the fields are not those of the kind.
        """
        options = dict(spec)
        kind = options.pop("kind", None)
        if not isinstance(kind, str) or kind not in KINDS:
            raise ModelError(f"expected a layer of kind {', '.join(KINDS)}, got {shown(kind)}.")
        try:
            return KINDS[kind](**options)
        except TypeError as error:
            raise ModelError(
                f"a layer of kind {shown(kind)} cannot have these fields: {error}."
            ) from None

    def describe(self) -> str:
        """Return the layer as Python code, without options that have their default value."""
        words = []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.default is MISSING:
                words.append(repr(value))
            elif value != field.default:
                words.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(words)})"

    def _check(self, field: Field[Any]) -> None:
        """Check the value of a field by the field's type."""
        value = getattr(self, field.name)
        if field.name in self.choices:
            words = self.choices[field.name]
            valid, expected = isinstance(value, str) and value in words, ", ".join(words)
        elif field.type is Layer:  # the subclass says which
            return
        elif field.type is str:
            parse_activation(value, together=self.allows_softmax)
            return
        elif field.type is bool:
            valid, expected = isinstance(value, bool), "True or False"
        elif field.type in (int, int | None):
            is_integer = isinstance(value, int) and not isinstance(value, bool)
            least = 0 if field.name in self.may_be_zero else 1
            valid, expected = (
                is_integer and least <= value <= MAX_SIZE,
                f"an integer of {least} or more, below 2**31",
            )
        else:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            valid = is_number and 0 < value < MAX_FLOAT32
            expected = "a number greater than zero"
        is_left_out = value is None and field.default is None
        if not valid and not is_left_out:
            raise ModelError(
                f"{type(self).__name__}: expected {field.name} to be {expected}, got "
                f"{shown(value)}."
            )
