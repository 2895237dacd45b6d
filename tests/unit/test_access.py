"""Authorized keys, roles, and the authenticator that asks for them."""

import os
import shutil
from pathlib import Path

import pytest
import zmq

from streamlstm import wire
from streamlstm.client.keys import Role, credentials, load_key, new_key
from streamlstm.errors import EndpointError, KeyFileError, ProtocolError
from streamlstm.serving.access import authorized_keys
from streamlstm.serving.access.authenticator import Authenticator
from streamlstm.serving.access.authorized_keys import AuthorizedKeys, read_authorized_keys
from streamlstm.serving.access.curve_server import CurveServer
from streamlstm.serving.access.roles import authorize
from streamlstm.serving.counters import Counters
from streamlstm.serving.endpoints import check_endpoint
from streamlstm.serving.sockets import bind_socket


def test_a_folder_of_keys(tmp_path: Path) -> None:
    new_key("a", tmp_path)
    new_key("b", tmp_path, Role.READ_ONLY)
    keys, problems = read_authorized_keys(tmp_path)
    assert not problems
    assert {key.name: key.role for key in keys.values()} == {"a": "all", "b": "read-only"}
    shutil.copy(tmp_path / "a.pub", tmp_path / "c.pub")
    (tmp_path / "d.pub").write_text("nonsense")
    keys, problems = read_authorized_keys(tmp_path)
    assert [key.name for key in keys.values()] == ["b"]
    assert len(problems) == 2
    with pytest.raises(KeyFileError):
        AuthorizedKeys(tmp_path)


def test_a_list_of_keys(tmp_path: Path) -> None:
    key = load_key(new_key("a", tmp_path)[1])
    path = tmp_path / "clients.toml"
    path.write_text(f'[[client]]\nname = "a"\npublic = "{key.public}"\nrole = "publish-only"\n')
    keys, problems = read_authorized_keys(path)
    assert keys == {key.public: key._replace(role=Role.PUBLISH_ONLY)}
    assert not problems
    for text in ("", "client = 1", "client = [1]", "[[client]]", "[client]"):
        path.write_text(text)
        keys, problems = read_authorized_keys(path)
        assert not keys
        assert problems
    assert read_authorized_keys(tmp_path / "none")[1]


def test_an_empty_folder_of_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="no client could connect"):
        AuthorizedKeys(tmp_path)


def test_files_that_change_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorized_keys, "CHECK_SECONDS", 0.0)
    path = new_key("a", tmp_path)[1]
    public = load_key(path).public
    list_ = AuthorizedKeys(tmp_path)
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
        wire.Claim(["a"], None),
    )
}


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (ord("A"), set(_REQUESTS.values())),
        (ord("R"), {"Info", "Ping", "Export"}),
        (ord("P"), {"Info", "Ping", "Step", "Steps", "Claim"}),
        (0, set()),
        (ord("X"), set()),
    ],
)
def test_what_a_role_may_ask(role: int, may: set[str]) -> None:
    passed = set()
    for frame, name in _REQUESTS.items():
        answer = authorize(frame, role)
        if isinstance(answer, ProtocolError):
            assert answer.code == "forbidden"
        else:
            assert answer == frame
            passed.add(name)
    assert passed == may


def test_with_keys_every_address_is_allowed_but_inproc(tmp_path: Path) -> None:
    check_endpoint("router", "tcp://0.0.0.0:*", insecure=False, encrypted=True)
    with pytest.raises(EndpointError, match="inproc"):
        check_endpoint("router", "inproc://socket", insecure=False, encrypted=True)
    with pytest.raises(EndpointError, match=r"--key and --allow.*--insecure"):
        check_endpoint("router", "tcp://0.0.0.0:*", insecure=False)


def test_a_context_has_one_authenticator_and_without_one_nobody_is_accepted(tmp_path: Path) -> None:
    secret = new_key("worker", tmp_path)[0]
    (tmp_path / "clients").mkdir()
    client, public = new_key("a", tmp_path / "clients")
    curve = CurveServer(secret, tmp_path / "clients")
    context = zmq.Context[zmq.Socket[bytes]]()
    authenticator = Authenticator(context, curve, Counters().count_refused_connection)
    authenticator.start()
    with pytest.raises(EndpointError, match="a context of its own"):
        Authenticator(context, curve, Counters().count_refused_connection)
    authenticator.close()
    socket = bind_socket(context, zmq.PULL, "pull", "tcp://127.0.0.1:*", max_bytes=99, curve=curve)
    given = credentials(client, tmp_path / "worker.pub")
    assert given is not None
    push = context.socket(zmq.PUSH)
    push.curve_publickey, push.curve_secretkey, push.curve_serverkey = given
    push.connect(socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0"))
    push.send(b"hello")
    assert not socket.poll(500)
    context.destroy(linger=0)
    assert public.exists()
