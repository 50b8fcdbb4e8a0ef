"""What the processes of a call share through the launcher's store; threads stand for them."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator

import pytest
from torch.distributed import HashStore

from model import processes
from model.processes import Launch, Team, launched


def team_of(count: int) -> list[Team]:
    store = HashStore()
    return [Team(Launch(rank, count), store) for rank in range(count)]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_task_is_done_once_and_the_first_process_gets_all_results(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "MOST_BYTES", 4)  # so that results go in pieces
    done: list[int] = []

    def work(task: int) -> Iterator[bytes]:
        done.append(task)
        yield from (f"{task}: {part} of a longer text".encode() for part in range(task % 3))

    leader, *others = team_of(count)
    helped: list[list[bytes]] = []
    threads = [threading.Thread(target=lambda team=team: helped.append(list(team.shared(40, work)))) for team in others]
    for thread in threads:
        thread.start()
    results = list(leader.shared(40, work))
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(40))
    assert sorted(results) == sorted(f"{task}: {part} of a longer text".encode() for task in range(40) for part in range(task % 3))
    assert helped == [[]] * (count - 1)


def test_no_process_waits_for_one_that_has_ended_the_call() -> None:
    """Another process says why it ended; this one leaves with the same status and without a word."""
    leader, other = team_of(2)
    other.put("ended", b"1")
    for waiting in (lambda: leader.get("never put"), lambda: list(leader.shared(0, lambda _: []))):
        with pytest.raises(SystemExit) as left:
            waiting()
        assert left.value.code == 2


def test_all_processes_but_the_first_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    for rank in (0, 1, 2):
        with Launch(rank, 3).quiet():
            print(f"out of {rank}")
            print(f"err of {rank}", file=sys.stderr)
    assert capsys.readouterr() == ("out of 0\n", "err of 0\n")


def test_the_first_that_fails_tells_and_the_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    store = HashStore()
    monkeypatch.setattr(processes, "_store", lambda: store)
    first, second, third = (Launch(rank, 3) for rank in range(3))
    assert not second.tells(signal.SIGTERM)  # ended by the launcher, or with all the others
    assert first.tells(signal.SIGINT)
    assert second.tells(None)
    assert not third.tells(None)
    assert not first.tells(signal.SIGTERM)  # the launcher ended it because another had failed
    monkeypatch.setattr(processes, "_store", lambda: 1 // 0)  # it cannot be reached
    assert first.tells(None)
    assert Launch().tells(None)


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, Launch()),
        ({"RANK": "3", "WORLD_SIZE": "8", "MASTER_ADDR": "here"}, Launch(3, 8)),
        ({"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "here"}, Launch(0, 1)),
        ({"RANK": "8", "WORLD_SIZE": "8", "MASTER_ADDR": "here"}, Launch()),
        ({"RANK": "one", "WORLD_SIZE": "8", "MASTER_ADDR": "here"}, Launch()),
        ({"RANK": "3", "WORLD_SIZE": "8"}, Launch()),
    ],
)
def test_the_launcher_states_the_place_in_the_environment(
    environment: dict[str, str], place: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launched() == place
