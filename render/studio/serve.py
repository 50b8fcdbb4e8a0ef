"""The studio's server, from its address to its end."""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
from collections.abc import Callable

from datagen.errors import UserError
from render.studio.gate import LOOPBACK
from render.studio.studio import Studio

END_SECONDS = 2  # for requests that are being answered when the studio is told to end


def needs_uvicorn() -> None:
    """`UserError` if the packages that serve pages are not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(f"the studio needs {error.name}, which is not installed: pip install 'igllm[studio]'") from None


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address; `UserError` if it cannot be had."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128)
    except OverflowError:
        raise UserError(f"--port {port}: a port is a number from 0 to 65535") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"--port {port}: something else listens there already; give another, or --port 0 for any free one") from None
        raise UserError(f"--host {host}: this machine cannot listen there ({error.strerror or error})") from None


def serve(studio: Studio, listening: socket.socket, host: str, announce: Callable[[str], None]) -> None:
    """Serve the studio until a signal ends it. ``announce`` gets the address to open, with the token that is asked for beyond loopback."""
    import uvicorn

    from render.studio.app import make_app

    token = None if host in LOOPBACK else secrets.token_urlsafe(24)
    port = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    app = make_app(studio, token)
    server = uvicorn.Server(
        uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=END_SECONDS, server_header=False
        )
    )
    announce(f"http://{shown}:{port}/" + (f"?token={token}" if token else ""))
    asyncio.run(server.serve(sockets=[listening]))
