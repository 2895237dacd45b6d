"""Key files: making and reading them, the roles of their owners, and the credentials of a client.

A key is a CURVE25519 pair, as ZeroMQ uses it. The owner of the secret half is authenticated by the
public half.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import zmq

from ..errors import KeyFileError, shown
from ..files import check_path

KeyPath: TypeAlias = str | os.PathLike[str] | None

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_SECRET_NOTE = "# A secret key of streamlstm: anyone who has this file can act as its owner."
_PUBLIC_NOTE = "# A public key of streamlstm. Anyone may have it."


class Role(StrEnum):
    """The requests that the owner of a key may send to a worker."""

    ALL = "all"
    READ_ONLY = "read-only"
    PUBLISH_ONLY = "publish-only"


class Key(NamedTuple):
    """The content of a key file.

    Attributes
    ----------
    name : str
        Name of the owner, for logs.
    public : str
        40 characters, in ZeroMQ's Z85.
    secret : str or None
        Likewise; None in a public key file.
    role : Role
        The owner's permissions. Only the worker's copy of the file counts.
    """

    name: str
    public: str
    secret: str | None = None
    role: Role = Role.ALL


class Credentials(NamedTuple):
    """The keys that a client needs: its own pair, and the worker's public key."""

    public: bytes
    secret: bytes
    server: bytes


def new_key(name: str, folder: Path, role: Role = Role.ALL) -> tuple[Path, Path]:
    """Create a key; write ``NAME.key``, readable by its owner alone, and ``NAME.pub``.

    Parameters
    ----------
    name : str
        Letters, digits, dots, dashes and underscores.
    folder : Path
        Made if it is not there.
    role : Role
        Written to the public file, which the worker gets.

    Returns
    -------
    secret, public : Path

    Raises
    ------
    KeyFileError
        If the name is invalid, or a file exists already or cannot be written.
    """
    check_name(name, "NAME")
    public, secret = (half.decode() for half in zmq.curve_keypair())
    paths = folder / f"{name}.key", folder / f"{name}.pub"
    for path in paths:
        if path.exists():
            raise KeyFileError(
                f"{path}: exists already and is not replaced; choose another name, or remove it"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KeyFileError(f"{folder}: cannot be made: {error.strerror}") from None
    lines = f'name = "{name}"\npublic = "{public}"\n'
    _create(paths[0], f'{_SECRET_NOTE}\n{lines}secret = "{secret}"\n', 0o600)
    role_line = "" if role is Role.ALL else f'role = "{role}"\n'
    try:
        _create(paths[1], f"{_PUBLIC_NOTE}\n{lines}{role_line}", 0o644)
    except KeyFileError:
        paths[0].unlink()
        raise
    return paths


def load_key(path: str | os.PathLike[str], secret: bool = False) -> Key:
    """Read a key file.

    Parameters
    ----------
    path : path-like
    secret : bool
        Whether the secret half is required.

    Raises
    ------
    KeyFileError
        If the file cannot be read or is no key file, if a required secret is missing, or if
        everyone may read the secret.
    """
    path = check_path(path, KeyFileError, "a key file")
    key = parse_key(read_toml(path), str(path))
    if key.secret is not None and path.stat().st_mode & stat.S_IROTH:
        raise KeyFileError(f"{path}: everyone may read this secret key; first: chmod 600 {path}")
    if secret and key.secret is None:
        raise KeyFileError(
            f"{path}: expected a secret key, got a public one; give the file that ends in .key"
        )
    return key


def parse_key(fields: dict[str, Any], where: str) -> Key:
    """Return the key of a TOML table.

    Raises
    ------
    KeyFileError
        If a field is unknown, missing or invalid.
    """
    unknown = fields.keys() - {"name", "public", "secret", "role"}
    if unknown:
        raise KeyFileError(
            f"{where}: expected name, public, secret and role, got {', '.join(sorted(unknown))}"
        )
    name = check_name(fields.get("name"), f"{where}: name")
    halves = {half: fields[half] for half in ("public", "secret") if half in fields}
    for half, value in halves.items():
        if not isinstance(value, str) or not _Z85.fullmatch(value):
            # never the value: it may be a secret in the wrong place
            raise KeyFileError(f"{where}: {half}: expected 40 characters of a key, got none")
    if "public" not in halves:
        raise KeyFileError(f"{where}: public: expected 40 characters of a key, got none")
    key = Key(name, halves["public"], halves.get("secret"), _role(fields.get("role"), where))
    if key.secret is not None and zmq.curve_public(key.secret.encode()).decode() != key.public:
        raise KeyFileError(f"{where}: public and secret do not belong together; make a new key")
    return key


def credentials(key: KeyPath, server: KeyPath) -> Credentials | None:
    """Return the keys of a client's connection to a worker that requires them; None without keys.

    Parameters
    ----------
    key : path-like or None
        The client's secret key.
    server : path-like or None
        The worker's public key.

    Raises
    ------
    KeyFileError
        If only one is given, or a file is not the expected key file.
    """
    if key is None and server is None:
        return None
    if key is None or server is None:
        missing = "key (the client's NAME.key)" if key is None else "server (the worker's NAME.pub)"
        raise KeyFileError(f"expected both key and server, or neither; {missing} is missing")
    for name, path in (("key", key), ("server", server)):
        if not isinstance(path, str | os.PathLike):
            raise KeyFileError(f"{name}: expected the path of a key file, got {path!r}")
    mine, theirs = load_key(key, secret=True), load_key(server)
    assert mine.secret is not None
    return Credentials(mine.public.encode(), mine.secret.encode(), theirs.public.encode())


def check_name(name: object, where: str) -> str:
    """Return a key's name; raise KeyFileError if it is invalid."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise KeyFileError(
            f"{where}: expected up to 64 letters, digits, dots, dashes and underscores, "
            f"got {shown(name)}"
        )
    return name


def _role(value: Any, where: str) -> Role:
    try:
        return Role(value if value is not None else Role.ALL)
    except ValueError:
        roles = ", ".join(Role)
        raise KeyFileError(f"{where}: role: expected one of {roles}, got {shown(value)}") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raise KeyFileError if it cannot be read."""
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:  # never the content: it may be a secret
        raise KeyFileError(
            f"{path}: expected a file of streamlstm keys new, got something else"
        ) from None


def _create(path: Path, text: str, mode: int) -> None:
    """Write a new file, which has its permissions from the first moment."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be written: {error.strerror}") from None
