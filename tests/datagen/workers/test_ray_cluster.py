"""Workers on a Ray cluster, and those that die."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datagen.errors import UserError
from datagen.workers.ray_cluster import RETRIES, Crew, OnRay, ray_cluster


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    pytest.importorskip("ray")
    with ray_cluster(OnRay(workers=2)) as module:
        yield module


def hired(ray: Any, folder: Path, deaths: int) -> Any:
    """A function that makes an actor, which doubles numbers. At the number 3, so many of them die, as a killed process does."""

    class Doubler:
        def start(self) -> tuple[str, None]:
            return "ready", None

        def work(self, number: int) -> tuple[int | None, str | None]:
            import os

            if number == 3 and len(list(folder.iterdir())) < deaths:
                (folder / str(os.getpid())).touch()
                os._exit(1)
            return (None, "seven is\nrefused") if number == 7 else (2 * number, None)

    return ray.remote(num_cpus=1)(Doubler).remote


@pytest.mark.slow
def test_the_task_of_a_lost_worker_is_done_by_another(ray: Any, tmp_path: Path) -> None:
    with Crew(ray, hired(ray, tmp_path, deaths=2), 2) as crew:
        assert crew.first_answer() == "ready"
        assert sorted(crew.results(range(7))) == [(number, 2 * number) for number in range(7)]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
def test_a_task_that_ends_every_worker_ends_the_call(ray: Any, tmp_path: Path) -> None:
    with (
        Crew(ray, hired(ray, tmp_path, deaths=100), 2) as crew,
        pytest.raises(UserError, match=rf"a task was lost {RETRIES + 1} times \(.*; call it again to go on"),
    ):
        list(crew.results(range(7)))
    assert len(list(tmp_path.iterdir())) == RETRIES + 1


@pytest.mark.slow
def test_what_a_worker_refuses_is_told(ray: Any, tmp_path: Path) -> None:
    with Crew(ray, hired(ray, tmp_path, deaths=0), 1) as crew, pytest.raises(UserError) as refused:
        list(crew.results([7]))
    assert str(refused.value) == "seven is\nrefused"
