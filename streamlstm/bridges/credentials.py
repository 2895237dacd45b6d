"""How a bridge knows its broker, and the broker the bridge: TLS, name and password."""

from __future__ import annotations

import logging
import ssl

from ..errors import BadValueError, StreamLSTMError
from .settings import Settings

_LOG = logging.getLogger(__name__)


def tls_of(settings: Settings, wanted: bool = False) -> ssl.SSLContext | None:
    """Return the context of a TLS connection; None if nothing asks for one.

    Parameters
    ----------
    settings : Settings
    wanted : bool
        Whether the address asks for one.

    Raises
    ------
    BadValueError
        If a file cannot be read, or is not what it should be.
    """
    if not wanted and settings.ca is None and settings.cert is None:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca)
    except OSError as error:  # SSLError is one
        raise BadValueError(
            f"--ca: expected a file of certificates in PEM, got {settings.ca} ({_reason(error)})"
        ) from None
    if settings.cert is not None:
        try:
            context.load_cert_chain(settings.cert, settings.cert_key)
        except OSError as error:
            raise BadValueError(
                "--cert, --cert-key: expected a certificate and its secret key in PEM, got "
                f"{settings.cert} and {settings.cert_key or settings.cert} ({_reason(error)})"
            ) from None
    return context


def password_of(settings: Settings) -> str:
    """Return the password that is in the file; an empty text if there is none.

    Raises
    ------
    BadValueError
        If the file cannot be read.
    """
    if settings.password is None:
        return ""
    try:
        return settings.password.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadValueError(
            f"--password: expected a file with the password, got {settings.password} "
            f"({_reason(error)})"
        ) from None


def unknown_broker(broker: str, where: str, error: object) -> StreamLSTMError:
    """Return the error of a broker whose certificate nobody vouches for."""
    return StreamLSTMError(
        f"{broker}: {where}: the certificate of the broker was not accepted ({error}). Give what "
        "it is signed with as --ca FILE, and the broker the name that the certificate has. "
        "Nothing was read"
    )


def refused(broker: str, where: str, reason: object) -> StreamLSTMError:
    """Return the error of a broker that does not let this bridge in."""
    return StreamLSTMError(
        f"{broker}: {where} refuses the connection: {reason}. Give --user and --password FILE of "
        "somebody who may read and write there. Nothing was read"
    )


def client_failed(broker: str, where: str, error: Exception) -> StreamLSTMError:
    """Return the error of a client whose thread has ended by an exception; it is logged too."""
    _LOG.debug("%s: the client has failed", broker, exc_info=error)
    if isinstance(error, StreamLSTMError):
        return error
    return StreamLSTMError(
        f"{broker}: {where}: the client has failed: {type(error).__name__}: {error}. What was not "
        "acknowledged comes again"
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
