"""Who may ask: programs of this machine, those that a reverse proxy lets pass, or with a token.

A page that a browser got from somewhere else may make that browser send requests to loopback. So
the name that was asked for has to be ours (or any web site could let its own name stand for
127.0.0.1, and read what comes back), and a WebSocket must come from a page of ours.
"""

from __future__ import annotations

import os
import secrets
import stat
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import KeyFileError

COOKIE = "streamlstm"
SIGN_IN = "/sign-in"
_OPEN = (SIGN_IN, "/healthz")  # what needs no token
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_SHORTEST = 16  # characters of a token
_MOST_FORM = 4096
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}
_FORM = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>streamlstm</title>
<link rel="stylesheet" href="static/sign-in.css"><form method="post" action="sign-in">
<label for="token">{said}</label><input id="token" name="token" type="password" required autofocus
autocomplete="current-password"><button>Open</button></form></html>"""


class Access:
    """Decides about requests.

    Parameters
    ----------
    host : str
        The address that is bound.
    is_open : bool
        Whether other machines reach it: then any name may be asked for.
    token : str, optional
        What everybody has to know.
    public : str, optional
        Where a reverse proxy makes it public, such as ``https://example.org/streams``.
    """

    def __init__(
        self, host: str, is_open: bool, token: str | None = None, public: str | None = None
    ) -> None:
        self.token, self.public = token, public
        self._any_name = is_open
        self._names = {*_LOOPBACK, host}
        self._origin = None
        if public is not None:
            parts = urlsplit(public)
            self._names.add(parts.hostname or "")
            self._origin = f"{parts.scheme}://{parts.netloc}".lower()

    def middleware(self) -> list[Middleware]:
        """Return what stands before an application."""
        return [Middleware(_Guard, access=self)]

    def refusal(self, headers: Headers) -> str | None:
        """Return why a request is none of ours; None if it is."""
        host = headers.get("host", "").lower()
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:  # as of a bracket without the other
            name = ""
        if not self._any_name and name not in self._names:
            return f"expected a name of this machine, got {host!r}; see --public"
        origin = headers.get("origin")
        if origin is None:
            return None
        ours = (f"http://{host}", f"https://{host}", self._origin)
        return None if origin.lower() in ours else f"the page is from {origin}; see --public"

    def knows(self, headers: Headers) -> bool:
        """Return whether who asks knows the token, or needs none."""
        if self.token is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._is_token(cookie.value)

    def _is_token(self, given: str) -> bool:
        return self.token is not None and secrets.compare_digest(
            given.encode("utf-8", "replace"), self.token.encode()
        )

    async def sign_in(self, request: Request) -> Response:
        """Answer the form in which people of a browser write the token."""
        said = "The token of this page"
        if request.method == "POST":
            body = b""
            async for part in request.stream():
                body += part
                if len(body) > _MOST_FORM:
                    return PlainTextResponse("the form is too long\n", 413)
            given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()
            if self._is_token(given):
                response = RedirectResponse("./", 303)
                secure = (self.public or "").startswith("https:")
                response.set_cookie(COOKIE, given, httponly=True, samesite="strict", secure=secure)
                return response
            said = "This is not the token"
        return HTMLResponse(_FORM.format(said=said), 401)


class _Guard:
    """Lets requests pass, or answers them; adds the headers that keep browsers safe."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers, is_socket = Headers(scope=scope), scope["type"] == "websocket"
        why = self._access.refusal(headers)
        answer: ASGIApp | None = None
        if why is not None:
            answer = PlainTextResponse(f"{why}\n", 403)
        elif scope["path"] == SIGN_IN and self._access.token is not None and not is_socket:
            answer = await self._access.sign_in(Request(scope, receive))
        elif not self._is_open_to_all(scope["path"]) and not self._access.knows(headers):
            answer = self._ask(headers)
        if answer is None:
            await self._app(scope, receive, send if is_socket else _with_headers(send))
        elif is_socket:
            await send({"type": "websocket.close", "code": 1008, "reason": (why or "token")[:120]})
        else:
            await answer(scope, receive, _with_headers(send))

    @staticmethod
    def _is_open_to_all(path: str) -> bool:
        return path in _OPEN or path == "/static/sign-in.css"

    @staticmethod
    def _ask(headers: Headers) -> Response:
        if "text/html" in headers.get("accept", ""):
            return HTMLResponse(_FORM.format(said="The token of this page"), 401)
        return PlainTextResponse(
            "expected the token, in a header such as Authorization: Bearer TOKEN\n",
            401,
            {"www-authenticate": "Bearer"},
        )


def _with_headers(send: Send) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sender


def read_token(path: Path) -> str:
    """Return the token in a file; a file that does not exist is made, with a new one.

    Raises
    ------
    KeyFileError
        If others may read it, or it holds no token of at least sixteen characters.
    """
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KeyFileError(f"--token {path}: others may read it; make it yours: chmod 600 {path}")
    token = path.read_text().strip()
    if len(token) < _SHORTEST or not token.isprintable() or not token.isascii():
        raise KeyFileError(
            f"--token {path}: expected at least {_SHORTEST} plain characters; remove the file, and "
            "a new one is made"
        )
    return token
