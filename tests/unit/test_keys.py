"""Files of keys, and the lists of those that may come in."""

import os
import shutil
import stat
from pathlib import Path

import pytest
import zmq

from streamlstm import wire
from streamlstm.client.keys import Role, credentials, load_key, new_key
from streamlstm.errors import EndpointError, KeyFileError, ProtocolError
from streamlstm.serving.access import authorized_keys
from streamlstm.serving.access.authenticator import Doorkeeper, Locks
from streamlstm.serving.access.authorized_keys import Allowed, read_allowed
from streamlstm.serving.access.roles import permitted
from streamlstm.serving.native.counters import Counters
from streamlstm.serving.sockets import bind_door, check_endpoint


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
    with pytest.raises(KeyFileError, match="is there already"):
        new_key("pump-7", tmp_path)
    secret.unlink()
    with pytest.raises(KeyFileError, match="is there already"):
        new_key("pump-7", tmp_path)
    assert not secret.exists()
    assert before


@pytest.mark.parametrize("name", ["", "../x", ".x", "a b", "x" * 65, "ä", "a\n"])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyFileError, match="expected up to 64 letters"):
        new_key(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be written"):
        new_key("a", tmp_path / "none")


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


def test_a_folder_of_keys(tmp_path: Path) -> None:
    new_key("a", tmp_path)
    new_key("b", tmp_path, Role.READ_ONLY)
    keys, problems = read_allowed(tmp_path)
    assert not problems
    assert {key.name: key.role for key in keys.values()} == {"a": "all", "b": "read-only"}
    shutil.copy(tmp_path / "a.pub", tmp_path / "c.pub")
    (tmp_path / "d.pub").write_text("nonsense")
    keys, problems = read_allowed(tmp_path)
    assert [key.name for key in keys.values()] == ["b"]
    assert len(problems) == 2
    with pytest.raises(KeyFileError):
        Allowed(tmp_path)


def test_a_list_of_keys(tmp_path: Path) -> None:
    key = load_key(new_key("a", tmp_path)[1])
    path = tmp_path / "clients.toml"
    path.write_text(f'[[client]]\nname = "a"\npublic = "{key.public}"\nrole = "publish-only"\n')
    keys, problems = read_allowed(path)
    assert keys == {key.public: key._replace(role=Role.PUBLISH_ONLY)}
    assert not problems
    for text in ("", "client = 1", "client = [1]", "[[client]]", "[client]"):
        path.write_text(text)
        keys, problems = read_allowed(path)
        assert not keys
        assert problems
    assert read_allowed(tmp_path / "none")[1]


def test_nobody_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="nobody could come in"):
        Allowed(tmp_path)


def test_files_that_change_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorized_keys, "LOOK", 0.0)
    path = new_key("a", tmp_path)[1]
    public = load_key(path).public
    list_ = Allowed(tmp_path)
    assert not list_.refresh()
    path.write_text(path.read_text() + 'role = "read-only"\n')
    assert list_.refresh()
    found = list_.find(public)
    assert found is not None
    assert found.role is Role.READ_ONLY
    path.write_text("half of a")
    assert list_.refresh()
    assert list_.problems
    assert list_.find(public) is None
    os.unlink(path)
    assert list_.refresh()
    assert len(list_) == 0


_REQUESTS = {
    wire.encode(message): type(message).__name__
    for message in (
        wire.Step("a", 1, b"\0\0\0\0", None),
        wire.Steps(["a"], None, b"\0\0\0\0"),
        wire.Reset("a"),
        wire.Export("a"),
        wire.Import("a", b""),
        wire.Info(),
        wire.Ping(1),
    )
}


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (ord("A"), set(_REQUESTS.values())),
        (ord("R"), {"Info", "Ping", "Export"}),
        (ord("P"), {"Info", "Ping", "Step", "Steps"}),
        (0, set()),
        (ord("X"), set()),
    ],
)
def test_what_a_role_may_ask(role: int, may: set[str]) -> None:
    passed = set()
    for frame, name in _REQUESTS.items():
        answer = permitted(frame, role)
        if isinstance(answer, ProtocolError):
            assert answer.code == "forbidden"
        else:
            assert answer == frame
            passed.add(name)
    assert passed == may


def test_with_keys_a_door_may_be_reached_from_everywhere_but_within(tmp_path: Path) -> None:
    check_endpoint("router", "tcp://0.0.0.0:*", insecure=False, locked=True)
    with pytest.raises(EndpointError, match="inproc"):
        check_endpoint("router", "inproc://door", insecure=False, locked=True)
    with pytest.raises(EndpointError, match=r"--key and --allow.*--insecure"):
        check_endpoint("router", "tcp://0.0.0.0:*", insecure=False)


def test_a_context_has_one_doorkeeper_and_none_means_nobody(tmp_path: Path) -> None:
    secret = new_key("worker", tmp_path)[0]
    (tmp_path / "clients").mkdir()
    client, public = new_key("a", tmp_path / "clients")
    locks = Locks(secret, tmp_path / "clients")
    context = zmq.Context[zmq.Socket[bytes]]()
    keeper = Doorkeeper(context, locks, Counters())
    keeper.start()
    with pytest.raises(EndpointError, match="a context of its own"):
        Doorkeeper(context, locks, Counters())
    keeper.close()
    door = bind_door(context, zmq.PULL, "pull", "tcp://127.0.0.1:*", max_bytes=99, locks=locks)
    given = credentials(client, tmp_path / "worker.pub")
    assert given is not None
    push = context.socket(zmq.PUSH)
    push.curve_publickey, push.curve_secretkey, push.curve_serverkey = given
    push.connect(door.get_string(zmq.LAST_ENDPOINT).rstrip("\0"))
    push.send(b"hello")
    assert not door.poll(500)
    context.destroy(linger=0)
    assert public.exists()
