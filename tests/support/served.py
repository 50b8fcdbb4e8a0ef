"""A studio that is served in this process, and requests to it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from render.studio.asked import Reading
from render.studio.readers import Readers
from render.studio.serve import listen, make_server
from render.studio.studio import Studio

SECONDS = 120  # that a test waits for an answer before it fails


class OneCode(Readers):
    """Stands for models: every image of a domain is read as its ``codes``'s code."""

    def __init__(self, **codes: str) -> None:
        self.codes = codes

    def load(self) -> None: ...

    def facts(self) -> dict[str, dict[str, str]]:
        return {domain: {"name": "one-code", "state": "ready", "problem": ""} for domain in self.codes}

    @property
    def domains(self) -> list[str]:
        return list(self.codes)

    def read(self, pixels: np.ndarray, domain: str) -> Reading:
        if domain not in self.codes:
            return super().read(pixels, domain)
        return Reading(self.codes[domain], [0.5] * self.codes[domain].count("\n"))

    _by_domain: Mapping[str, Any] = {}


class Answer:
    """The answer to a request: its status, headers, body, and its JSON or lines of JSON."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]


class Served:
    """A studio at a port of this machine."""

    def __init__(self, studio: Studio, port: int, end: Callable[[], None]) -> None:
        self.studio, self.port, self.end = studio, port, end
        self.address = f"http://127.0.0.1:{port}/"

    def ask(self, path: str, content: Any = None, method: str = "", **headers: str) -> Answer:
        """The answer to a request; ``content`` is JSON, or bytes, which are sent as they are. Names of headers have _ for -."""
        connection = self.begin(path, content, method, **headers)
        try:
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def begin(self, path: str, content: Any = None, method: str = "", **headers: str) -> http.client.HTTPConnection:
        """Send a request, and do not wait for its answer. An iterator of bytes is sent in chunks."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        plain = content is None or isinstance(content, bytes | Iterator)
        body = content if plain else json.dumps(content).encode()
        connection.request(
            method or ("GET" if content is None else "POST"), path, body, {k.replace("_", "-"): v for k, v in headers.items()}
        )
        return connection


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for an event that another thread or process brings about."""
    until = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


@contextmanager
def served(studio: Studio, token: str | None = None) -> Iterator[Served]:
    """The studio, served while the context lasts."""
    with studio, listen("127.0.0.1", 0) as listening:
        server = make_server(studio, token)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()

        def end() -> None:
            server.should_exit = True
            thread.join(SECONDS)
            assert not thread.is_alive()

        try:
            yield Served(studio, listening.getsockname()[1], end)
        finally:
            end()
