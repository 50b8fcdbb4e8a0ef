"""Who may ask the studio for something, and how much at once: an ASGI middleware around all of it.

A page of any other site that is open in the same browser can send requests to a server on this machine. Three checks keep it out: the
name in ``Host`` must be one that only this machine has (a name of the attacker's may be bound to 127.0.0.1), ``Origin`` must be the
studio's own, and beyond this machine a token must be known.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from datagen.errors import UserError
from render.studio.limits import MOST_BODY, MOST_UPLOAD

LOOPBACK = ("127.0.0.1", "localhost", "::1")
UPLOAD, LOGIN = "/api/image", "/login"
_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'nonce-{nonce}'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_ASK = """<!doctype html><html lang="en"><meta charset="utf-8"><title>igllm studio</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/static/studio.css">
<body class="ask"><form method="post" action="/login"><h1>igllm studio</h1>
<p>{why}</p><label>Token <input name="token" type="password" autocomplete="off" autofocus required></label>
<button>Open</button></form></body></html>"""


class TooLong(UserError):
    """A request has more bytes than it may have."""


class Gate:
    """Lets requests through to ``app`` that may pass. ``token`` is None on loopback; ``hosts`` are the names that it is asked by, any if
    there is a token, because a name then gives nothing away."""

    def __init__(self, app: ASGIApp, token: str | None, nonce: str, hosts: Sequence[str] = LOOPBACK) -> None:
        self._app, self._token, self._hosts = app, token, hosts
        self._policy = _POLICY.format(nonce=nonce)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None and self._token is not None:
            refusal = await self._ask_token(scope, receive)
        shown = self._with_policy(send)
        if refusal is not None:
            await refusal(scope, receive, shown)
            return
        await self._app(scope, _bounded(scope, receive), shown)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that may not pass, whoever sends it."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._token is None and _name(host) not in self._hosts:
            return _refused(421, f"this studio is not {host!r}: open it by the address that it printed")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return _refused(403, f"a page of {origin} asks for this; only the studio's own page may")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and scope["path"].startswith("/api/"):
            return _refused(403, "another site's page asks for this; only the studio's own page may")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > _most(scope):
            return _refused(413, _too_long(scope))
        return None

    async def _ask_token(self, scope: Scope, receive: Receive) -> Response | None:
        """None for a request that knows the token; a page that asks for it, or what a right answer leads to."""
        assert self._token is not None
        request, path = Request(scope, receive), scope["path"]
        if path.startswith("/static/") and path.endswith(".css"):
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if path == LOGIN and request.method == "POST":
            form = parse_qs((await _read(request, 10_000)).decode("latin-1"))
            given = form.get("token", [""])[0]
        if given and self._is_token(given):
            answer = RedirectResponse("/", status_code=303)
            answer.set_cookie(self._cookie(scope), self._token, httponly=True, samesite="strict")
            return answer
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        known = bearer if scheme.lower() == "bearer" else _cookie(request, self._cookie(scope))
        if self._is_token(known):
            return None
        if path.startswith("/api/"):
            return _refused(401, "the token is missing or wrong: open the address that the studio printed when it started")
        why = "That was not the token." if given else "The token is in the terminal where the studio was started."
        return HTMLResponse(_ASK.format(why=why), status_code=401)

    def _is_token(self, given: str) -> bool:
        assert self._token is not None
        return hmac.compare_digest(given.encode(errors="replace"), self._token.encode())

    @staticmethod
    def _cookie(scope: Scope) -> str:
        """The name of the cookie: cookies do not tell ports apart, and two studios may run on one machine."""
        return f"igllm-studio-{(scope.get('server') or ('', 0))[1]}"

    def _with_policy(self, send: Send) -> Send:
        async def shown(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = self._policy
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
            await send(message)

        return shown


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _most(scope: Scope) -> int:
    return MOST_UPLOAD if scope["path"] == UPLOAD else MOST_BODY


def _too_long(scope: Scope) -> str:
    what = "an image file" if scope["path"] == UPLOAD else "this request"
    return f"{what} of the studio may have {_most(scope):,} bytes at most"


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """Receives a body of at most as many bytes as it may have, whatever its header states."""
    came = 0

    async def bounded() -> Message:
        nonlocal came
        message = await receive()
        came += len(message.get("body", b""))
        if came > _most(scope):
            raise TooLong(_too_long(scope))
        return message

    return bounded


async def _read(request: Request, most: int) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            return b""
    return body


def _cookie(request: Request, name: str) -> str:
    try:
        morsel = SimpleCookie(request.headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


def _refused(status: int, problem: str) -> JSONResponse:
    return JSONResponse({"problem": problem}, status_code=status)
