"""Who gets an answer from the studio: names in Host, pages of other sites, the token beyond this machine, and the command's own end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest
from places import ROOT
from served import OneCode, Served, served

import igllm
from render.studio.serve import listen
from render.studio.studio import Studio

TOKEN = "a-token-of-this-test"
ASKED = {"domain": "dot2d", "code": ""}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Served]:
    """A studio as beyond this machine, which asks for a token."""
    with served(Studio(OneCode(), [], "dot2d"), TOKEN) as found:
        yield found


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8400", "LOCALHOST:1", "[::1]:8400"])
def test_this_machines_names_are_let_in(page: Served, host: str) -> None:
    assert page.ask("/api/studio", Host=host).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8400", "", "[", "192.168.0.7"])
def test_a_name_that_was_bound_to_this_machine_is_refused(page: Served, host: str) -> None:
    for path in ("/", "/api/studio", "/static/main.js"):
        assert page.ask(path, Host=host).status in (400, 421)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://localhost.evil.example", "http://127.0.0.1:1"])
def test_a_page_of_another_site_is_refused(page: Served, origin: str) -> None:
    answer = page.ask("/api/look", ASKED, Origin=origin)
    assert answer.status == 403
    assert "only the studio's own page may" in answer.json["problem"]


def test_the_studios_own_page_is_let_in(page: Served) -> None:
    assert page.ask("/api/look", ASKED, Origin=page.address.rstrip("/"), Sec_Fetch_Site="same-origin").status == 200
    assert page.ask("/api/studio", Sec_Fetch_Site="cross-site").status == 403
    assert page.ask("/", Sec_Fetch_Site="cross-site").status == 200  # a link to the studio may stand anywhere


def test_every_answer_forbids_the_browser_other_hosts(page: Served) -> None:
    for path in ("/", "/static/main.js", "/api/studio", "/nothing"):
        policy = page.ask(path).headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert not re.search(r"https?:|\*|unsafe", policy)
    html = page.ask("/").body.decode()
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", html)
    assert not re.search(r"<script(?![^>]*src=)", html)


def test_beyond_this_machine_a_token_is_asked_for(guarded: Served) -> None:
    assert guarded.ask("/api/studio").status == 401
    assert guarded.ask("/static/main.js").status == 401
    asks = guarded.ask("/")
    assert asks.status == 401
    assert b'name="token"' in asks.body
    assert guarded.ask("/api/studio", Authorization=f"Bearer {TOKEN}").status == 200
    assert guarded.ask("/api/studio", Authorization="Bearer wrong").status == 401
    assert guarded.ask("/api/studio", Authorization="Bearer \xff\xfe").status == 401


@pytest.mark.parametrize(("path", "form"), [(f"/?token={TOKEN}", None), ("/login", f"token={TOKEN}".encode())])
def test_the_token_becomes_a_cookie_that_pages_of_others_do_not_get(guarded: Served, path: str, form: bytes | None) -> None:
    answer = guarded.ask(path, form, Content_Type="application/x-www-form-urlencoded", Host="studio.lan:8400")
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
    assert guarded.ask("/api/studio", Cookie=cookie.partition(";")[0], Host="studio.lan:8400").status == 200
    assert guarded.ask("/api/studio", Cookie=cookie.partition(";")[0].replace(TOKEN, "x"), Host="studio.lan:8400").status == 401
    assert guarded.ask("/api/look", ASKED, Cookie=cookie.partition(";")[0], Origin="http://evil.example").status == 403


def test_a_wrong_token_is_told(guarded: Served) -> None:
    answer = guarded.ask("/login", b"token=guess", Content_Type="application/x-www-form-urlencoded")
    assert answer.status == 401
    assert b"That was not the token." in answer.body


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--port", "70000"], "a port is a number from 0 to 65535"),
        (["--host", "203.0.113.9"], "this machine cannot listen there"),
        pytest.param(["--model", "nowhere"], "neither a shipped model nor a run folder", marks=pytest.mark.slow),
        (["--domain", "clever"], "did you mean"),
        (["--data", "nowhere"], "nowhere"),
        pytest.param(["--model", "tiny", "--model", "tiny"], "both write code of the domain clevr", marks=pytest.mark.slow),
    ],
)
def test_what_it_cannot_begin_with_is_one_message(flags: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert igllm.main(["studio", "--port", "0", *flags] if "--port" not in flags else ["studio", *flags]) == 2
    said = capsys.readouterr().err
    assert problem in said
    assert len(said.splitlines()) == 1


def test_a_port_that_is_taken_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    with listen("127.0.0.1", 0) as other:
        assert igllm.main(["studio", "--port", str(other.getsockname()[1])]) == 2
    assert "something else listens there already" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_command_serves_until_it_is_interrupted(host: str) -> None:
    """As a user starts it, with the shipped model and Blender."""
    words = [sys.executable, "-P", "-m", "igllm", "studio", "--port", "0", "--host", host]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}) as command:
        try:
            assert command.stderr is not None
            line = command.stderr.readline()
            found = re.search(r"open (http://\S+)", line)
            assert found, line
            assert ("?token=" in found[1]) == (host == "0.0.0.0")
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())  # goes where the token leads, with its cookie
            with browser.open(found[1].replace("0.0.0.0", "127.0.0.1"), timeout=60) as page:
                assert b'id="editor"' in page.read()
            command.send_signal(signal.SIGINT)
            assert command.wait(60) == 130
            assert command.stderr.read().strip() == "igllm studio: interrupted; call it again to go on"
        finally:
            command.kill()
