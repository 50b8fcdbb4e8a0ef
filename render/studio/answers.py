"""Answers to a page: one JSON, or a stream of lines of JSON while work goes on, which ends with the page that asked."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from datagen.errors import UserError
from datagen.io.files import NO_ROOM
from datagen.screen import one_line
from render.studio.gate import TooLong
from render.studio.lanes import Busy


def problem_of(error: Exception) -> tuple[int, str]:
    """The status and the message for an error that a request met. The terminal gets the traceback of one that is the studio's own fault."""
    if isinstance(error, Busy):
        return 503, str(error)
    if isinstance(error, TooLong):
        return 413, str(error)
    if isinstance(error, UserError):
        return 400, str(error)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return 507, f"there is no room on the disk ({error.strerror}): {error.filename or 'free some'}; your scene is still in the page"
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return 507, "there is not enough memory for this; your scene is still in the page"
    traceback.print_exception(error)
    return 500, f"a fault of the studio's own ({type(error).__name__}); the terminal has more, and your scene is still in the page"


Tell = Callable[[Any], Coroutine[Any, Any, None]]
"""Sends a line to the page."""


class Json(Response):
    """An answer of one JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)


class Lines(Response):
    """A stream of lines of JSON, which ``work`` tells one by one. When the page goes, the work is cancelled. An error becomes a last line
    with the key ``problem``."""

    media_type = "application/x-ndjson"

    def __init__(self, work: Callable[[Tell], Awaitable[None]]) -> None:
        super().__init__(headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(line: Any) -> None:
            await send({"type": "http.response.body", "body": msgspec.json.encode(line) + b"\n", "more_body": True})

        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(watch)
            try:
                await self._work(tell)
            except Exception as error:
                await tell({"problem": problem_of(error)[1]})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            group.cancel_scope.cancel()


Endpoint = Callable[[Request], Awaitable[Response]]


def answering(endpoint: Endpoint) -> Endpoint:
    """The endpoint, whose errors that a user may meet become answers with the key ``problem``."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:
            status, problem = problem_of(error)
            return Json({"problem": one_line(problem)}, status_code=status)

    return answered
