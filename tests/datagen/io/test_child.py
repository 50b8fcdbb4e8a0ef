"""Child processes: what they answer is told from what else they print, and stopping one frees who waits for it."""

from __future__ import annotations

import selectors
import sys
import threading

import pytest

from datagen.io.child import Child, last_answer

IMPORTS = "import os, sys, time\nfrom datagen.io.child import send_answer\nout = sys.stdout.buffer\n"


def child(program: str) -> Child:
    return Child([sys.executable, "-c", IMPORTS + program])


def test_what_a_library_prints_before_an_answer_is_passed_over() -> None:
    printing = child(
        "print('{\"answer\": 0}\\n[]\\nno end of line', end='', flush=True)\n"
        "send_answer(out, {'answer': 1})\n"
        "os.write(1, b'loading a driver\\n')\n"
        "send_answer(out, {'bytes': 4}, b'\\x1e{\\n}')\n"
        "send_answer(out, {'answer': 2})"
    )
    assert printing.answer(600) == {"answer": 1}
    assert printing.answer(600) == {"bytes": 4}
    assert printing.read(4) == b"\x1e{\n}"
    assert printing.answer(600) == {"answer": 2}
    with pytest.raises(EOFError):
        printing.answer(600)
    assert printing.status() == 0
    printing.stop()


def test_answers_that_come_at_once_are_told_apart() -> None:
    prompt = child(
        "out.write(b'')\nfrom datagen.io.child import MARK\nos.write(1, MARK + b'{}\\n' + MARK + b'{\"bytes\": 100000}\\n' + b'x' * 100000)"
    )
    assert prompt.answer(600) == {}
    assert prompt.answer(600) == {"bytes": 100_000}
    assert prompt.read(100_000) == b"x" * 100_000
    prompt.stop()


def test_patience_ends_with_noise_but_without_an_answer() -> None:
    noisy = child("print('still here', flush=True)\ntime.sleep(600)")
    with pytest.raises(TimeoutError):
        noisy.answer(1)
    noisy.stop()


def test_stopping_a_child_frees_who_is_about_to_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    about, go = threading.Event(), threading.Event()

    class Slow(selectors.DefaultSelector):  # type: ignore[misc]  # its class depends on the system
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            about.set()
            go.wait()
            return super().select(timeout)

    monkeypatch.setattr(selectors, "DefaultSelector", Slow)
    silent = child("time.sleep(600)")
    met: list[type[BaseException]] = []

    def wait() -> None:
        try:
            silent.answer(30)
        except (EOFError, TimeoutError) as error:
            met.append(type(error))

    waiting, stopping = threading.Thread(target=wait), threading.Thread(target=silent.stop)
    waiting.start()
    about.wait()
    stopping.start()
    silent.status()
    stopping.join(0.2)  # it could close the stream now, whereupon the other thread would wait in vain
    go.set()
    waiting.join()
    stopping.join()
    assert met == [EOFError]


def test_the_answer_of_a_program_is_found_in_all_that_it_printed() -> None:
    assert last_answer(b"Blender 5.0.1\nwarning: \x1e[1]\nquit\n") == [1]
    assert last_answer(b"Blender 5.0.1\n[1]\n") is None
    assert last_answer(b"") is None
