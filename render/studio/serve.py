"""The studio's server, from its address to its end."""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
from collections.abc import Callable

import uvicorn

from datagen.errors import UserError
from render.studio.app import make_app
from render.studio.gate import LOOPBACK
from render.studio.studio import Studio

END_SECONDS = 2  # for requests that are being answered when the studio is told to end


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
    token = None if host in LOOPBACK else secrets.token_urlsafe(24)
    shown = f"[{host}]" if ":" in host else host
    server = make_server(studio, token)
    announce(f"http://{shown}:{listening.getsockname()[1]}/" + (f"?token={token}" if token else ""))
    asyncio.run(server.serve(sockets=[listening]))


def make_server(studio: Studio, token: str | None) -> uvicorn.Server:
    """The server of a studio, which asks for the token if there is one."""
    config = uvicorn.Config(
        make_app(studio, token),
        http="h11",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=END_SECONDS,
    )
    return uvicorn.Server(config)
