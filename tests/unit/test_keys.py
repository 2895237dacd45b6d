"""Key files, and the credentials of a client."""

import stat
from pathlib import Path

import pytest

from streamlstm.client.keys import Role, credentials, load_key, new_key
from streamlstm.errors import KeyFileError


def test_a_new_key_can_be_read_back_and_is_its_owners_alone(tmp_path: Path) -> None:
    secret, public = new_key("pump-7", tmp_path, Role.PUBLISH_ONLY)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    key, shown = load_key(secret, secret=True), load_key(public)
    assert key.name == shown.name == "pump-7"
    assert key.public == shown.public
    assert shown.role is Role.PUBLISH_ONLY
    assert shown.secret is None
    assert key.secret is not None
    assert key.secret not in public.read_text()
    before = secret.read_text()
    with pytest.raises(KeyFileError, match="exists already"):
        new_key("pump-7", tmp_path)
    secret.unlink()
    with pytest.raises(KeyFileError, match="exists already"):
        new_key("pump-7", tmp_path)
    assert not secret.exists()
    assert before


@pytest.mark.parametrize("name", ["", "../x", ".x", "a b", "x" * 65, "ä", "a\n"])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyFileError, match="expected up to 64 letters"):
        new_key(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    secret, _ = new_key("a", tmp_path / "keys" / "clients")
    assert secret.parent == tmp_path / "keys" / "clients"
    with pytest.raises(KeyFileError, match="cannot be made"):
        new_key("a", secret)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "name"),
        ("\xff\0", "expected a file of streamlstm keys new"),
        ('name = "a"', "public: expected 40"),
        ('name = "a"\npublic = 7', "public: expected 40"),
        ('name = "a"\npublic = "short"', "public: expected 40"),
        (f'name = "a"\npublic = "{"a" * 40}"\nrole = "king"', "role: expected one of all"),
        (f'name = "a"\npublic = "{"a" * 40}"\nrole = 7', "role: expected one of all"),
        (f'name = "a"\npublic = "{"a" * 40}"\nother = 1', "got other"),
        (f'name = "a"\npublic = "{"a" * 40}"\nsecret = "{"b" * 40}"', "do not belong together"),
    ],
)
def test_files_that_are_no_keys(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(KeyFileError, match=said):
        load_key(path)


def test_a_secret_that_everyone_may_read_is_not_used(tmp_path: Path) -> None:
    secret, public = new_key("a", tmp_path)
    secret.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_key(secret)
    with pytest.raises(KeyFileError, match="got a public one"):
        load_key(public, secret=True)
    with pytest.raises(KeyFileError, match="cannot be read"):
        load_key(tmp_path / "none")


def test_a_client_needs_both_keys_or_none(tmp_path: Path) -> None:
    secret, public = new_key("a", tmp_path)
    assert credentials(None, None) is None
    assert credentials(secret, str(public)) is not None
    for key, server in ((secret, None), (None, public)):
        with pytest.raises(KeyFileError, match="expected both key and server"):
            credentials(key, server)
