"""Where a broker is: the parts of ``--url``."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from ..errors import BadValueError, shown

_SCHEMES = {  # the first is meant where an address has none
    "mqtt": ("mqtt", "tcp", "mqtts", "ssl", "tls"),
    "kafka": ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"),
    "nats": ("nats", "tls", "ws", "wss"),
}


def address_of(broker: str, url: str) -> SplitResult:
    """Return the parts of an address.

    Raises
    ------
    BadValueError
        If it is none of the broker: what was to be encrypted is never sent without, because of a
        scheme that is not known.
    """
    schemes = _SCHEMES[broker]
    try:
        parts = urlsplit(url if "://" in url else f"{schemes[0]}://{url}")
        is_good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is no number up to 65535, of a bracket without the other
        is_good = False
    if not is_good:
        raise BadValueError(
            f"--url: expected HOST:PORT, with {', '.join(f'{each}://' for each in schemes)} or "
            f"nothing before it, got {shown(without_password(url))}"
        )
    return parts


def without_password(url: str) -> str:
    """Return an address as logs may have it: without name and password."""
    scheme, separator, place = url.rpartition("://")
    return f"{scheme}{separator}{place.rpartition('@')[2]}"
