"""How much may wait in a worker."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """Beyond which senders are answered ``busy``.

    Attributes
    ----------
    messages : int
        That wait, of all clients together.
    bytes : int
        Of these messages; at least eight times what one may have.
    """

    messages: int = 16_384
    bytes: int = 2**26
