"""The guard detects each sort of fault, and blocks count and keep what it detects."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import guard
import numpy as np
import pytest
from campaign import Bench, _guard, run_block
from guard import CANARY, Fault, Outcome
from hypothesis import strategies as st
from kinds import Kind
from table import KINDS

from datagen.errors import UserError


@pytest.fixture
def judge(tmp_path: Path) -> Callable[[Callable[[Path], int]], Outcome]:
    """A function that judges a reader of ``input``, beside the forbidden folder ``outside``."""
    for name in ("input", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (tmp_path / "input" / "evil.py").write_text(f"open({CANARY!r}, 'w')")
    (tmp_path / "input" / "evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    return lambda read: _guard().judge(read, tmp_path / "input", tmp_path / "outside")


def refuse(message: str) -> int:
    raise UserError(message)


def complain(text: str) -> int:
    print(text, file=sys.stderr)
    return 2


def swallow(act: Callable[[], object]) -> int:
    """Call ``act`` as a reader does that takes any exception for damage of the input."""
    try:
        act()
    except Exception:
        return complain("damaged")
    return 0


def test_success_and_a_message_are_how_an_input_may_end(judge: Callable[[Callable[[Path], int]], Outcome]) -> None:
    assert judge(lambda folder: 0).accepted
    assert judge(lambda folder: len((folder / "evil.py").read_text()) * 0).accepted
    refused = judge(lambda folder: refuse("it is damaged"))
    assert not refused.accepted and refused.said == "it is damaged\n"


@pytest.mark.parametrize(
    "read",
    [
        lambda folder: 1 // 0,
        lambda folder: 70,
        lambda folder: complain("Traceback (most recent call last):\n  x"),
        lambda folder: [0] * 10**14 and 0,
        lambda folder: sys.exit(3),
    ],
    ids=["exception", "status 70", "printed", "memory refused", "exit"],
)
def test_a_traceback_is_seen(judge: Callable[[Callable[[Path], int]], Outcome], read: Callable[[Path], int]) -> None:
    with pytest.raises(Fault, match=r"^traceback"):
        judge(read)


@pytest.mark.parametrize(
    "act",
    [
        lambda folder: os.system("true"),
        lambda folder: subprocess.run(["true"], check=False),
        lambda folder: pickle.loads((folder / "evil.pkl").read_bytes()),
        lambda folder: exec((folder / "evil.py").read_text()),
        lambda folder: exec(compile("1", folder / "evil.py", "exec")),
        lambda folder: socket.create_connection(("127.0.0.1", 9)),
        lambda folder: (folder.parent / "outside" / "secret").read_text(),
        lambda folder: (folder / ".." / "outside" / "secret").read_text(),
        lambda folder: (folder.parent / "outside" / "secret").unlink(),
        lambda folder: Path("/etc/igllm_canary").write_text("x"),
        lambda folder: np.load(folder / "evil.pkl", allow_pickle=True),
    ],
    ids=["system", "process", "pickle", "code", "file of code", "network", "outside", "dots", "removed", "written", "array"],
)
def test_what_is_executed_or_looked_at_elsewhere_is_seen_though_the_reader_swallows_it(
    judge: Callable[[Callable[[Path], int]], Outcome], act: Callable[[Path], object]
) -> None:
    with pytest.raises(Fault, match=r"^executed"):
        judge(lambda folder: swallow(lambda: act(folder)))


def test_slow_and_fat_are_seen(judge: Callable[[Callable[[Path], int]], Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SECONDS", 0.2)
    with pytest.raises(Fault, match=r"^slow: more than 0.2 s"):
        judge(lambda folder: swallow(lambda: all(True for _ in iter(int, 1))))
    monkeypatch.undo()
    monkeypatch.setattr(guard, "HANG_SECONDS", 0.2)
    with pytest.raises(Fault, match=r"^slow: it hangs"):
        judge(lambda folder: swallow(lambda: time.sleep(300)))
    monkeypatch.undo()
    monkeypatch.setattr(guard, "MOST_BYTES", 2**26)
    before = np.ones(2**28, np.uint8)  # held so that an earlier peak of this process does not hide the growth
    with pytest.raises(Fault, match=r"^fat"):
        judge(lambda folder: int(np.ones(2**29, np.uint8)[0]) - len(before[:1]))


@pytest.mark.parametrize(
    "read",
    [lambda folder: 2, lambda folder: complain("x" * 10_000), lambda folder: complain("\x1b[2J"), lambda folder: complain("\ud800")],
    ids=["silent", "endless", "escape", "surrogate"],
)
def test_a_message_that_helps_nobody_is_seen(judge: Callable[[Callable[[Path], int]], Outcome], read: Callable[[Path], int]) -> None:
    with pytest.raises(Fault, match=r"^message"):
        judge(read)


def test_a_fault_is_made_small_told_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUZZ_FAULTS", str(tmp_path))
    fragile = Kind(
        lambda: st.binary(max_size=50).map(lambda data: {"x": data}), lambda folder, out: 1 // (b"b" not in (folder / "x").read_bytes()) - 1
    )
    monkeypatch.setitem(KINDS, "fragile", fragile)
    tally = run_block("fragile", 500, 1)
    assert tally.faults == {"traceback": 1} and "ZeroDivisionError" in tally.told[0]
    assert (tmp_path / "fragile-1" / "input" / "x").read_bytes() == b"b"
    assert 0 < tally.accepted < tally.inputs


def test_the_folder_of_an_input_holds_that_alone() -> None:
    bench = Bench("image")
    try:
        bench.judge({"a.png": b"x"}, 0)
        bench.judge({"b.png": b"x"}, 0)
        assert [path.name for path in (bench.home / "input").iterdir()] == ["b.png"]
    finally:
        bench.close()
