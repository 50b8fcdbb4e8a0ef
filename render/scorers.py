"""Scores of many pairs of images on all cores: child processes with one thread each, because this one is busy with scenes and pages.

``python -P -m render.scorers`` uses its standard streams. A request is a line ``{"shape": [HEIGHT, WIDTH, 3]}`` and the values of both
images; the answer is a line ``{"scores": {...}, "bytes": N}`` and the N bytes of the PNG that shows FLIP at every pixel.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from datagen.io.child import Child, module_command, send_answer
from datagen.workers.cores import available_cores
from render.images import ImageScores, compare_images, heat_image

SCORER = "render.scorers"
"""The module that runs as the process."""
WORTHWHILE = 40  # pairs from which on starting processes, which takes each a second, costs less than it saves
ENVIRONMENT = {
    **dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"], "1"),  # threads that wait for each other would take the others' cores
    **dict.fromkeys(["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"], str(1 << 25)),
}
"""What such a process is started with: glibc is to keep the memory of arrays for the next ones, as to ask for it anew takes a third of the
time."""
HANG_SECONDS = 600.0  # for the largest images on a busy machine
T = TypeVar("T")


class PairScores(NamedTuple):
    """The scores of two images, and the PNG that shows FLIP at every pixel."""

    scores: ImageScores
    heat: bytes


def score_pair(reference: np.ndarray, test: np.ndarray) -> PairScores:
    """The scores of two images (height, width, 3) uint8, computed in this process."""
    scores, error = compare_images(reference, test)
    return PairScores(scores, heat_image(error))


class Scorers(Generic[T]):
    """A queue in which each item waits for the scores of its pairs of images. Use it as a context: the processes end with it.

    `expected` is the number of pairs to come: few are scored in this process.
    """

    def __init__(self, expected: int) -> None:
        self._count = len(available_cores()) if expected >= WORTHWHILE else 0
        self._free: SimpleQueue[_Scorer] = SimpleQueue()
        self._scorers = [_Scorer() for _ in range(self._count)]
        for scorer in self._scorers:
            self._free.put(scorer)
        self._threads = ThreadPoolExecutor(max(1, self._count))
        self._waiting: deque[tuple[T, list[Future[PairScores] | None]]] = deque()

    def __enter__(self) -> Scorers[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for scorer in self._scorers:
            scorer.stop()

    def put(self, item: T, pairs: list[tuple[np.ndarray, np.ndarray] | None]) -> None:
        """Append an item and its pairs; None stands for a pair that is missing."""
        self._waiting.append((item, [None if pair is None else self._begun(*pair) for pair in pairs]))

    def finished(self, keep: int | None = None) -> Iterator[tuple[T, list[PairScores | None]]]:
        """Yield items with the scores of their pairs, in order, until at most `keep` wait: by default a few for each process."""
        keep = 3 * self._count if keep is None else keep
        while len(self._waiting) > keep:
            item, begun = self._waiting.popleft()
            yield item, [None if one is None else one.result() for one in begun]

    def _begun(self, reference: np.ndarray, test: np.ndarray) -> Future[PairScores]:
        if self._count:
            return self._threads.submit(self._scored, reference, test)
        done: Future[PairScores] = Future()
        done.set_result(score_pair(reference, test))
        return done

    def _scored(self, reference: np.ndarray, test: np.ndarray) -> PairScores:
        scorer = self._free.get()
        try:
            return scorer.score(reference, test)
        finally:
            self._free.put(scorer)


class _Scorer:
    """A child process that scores, started for its first pair. Once it has ended or hangs, pairs are scored in this process."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._broken = False

    def score(self, reference: np.ndarray, test: np.ndarray) -> PairScores:
        if not self._broken:
            with suppress(EOFError, TimeoutError):
                return self._asked(reference, test)
            self.stop()
        return score_pair(reference, test)

    def _asked(self, reference: np.ndarray, test: np.ndarray) -> PairScores:
        child = self._child = self._child or Child(module_command(SCORER), ENVIRONMENT)
        child.ask({"shape": reference.shape}, reference.tobytes() + test.tobytes())
        answer = child.answer(HANG_SECONDS)
        return PairScores(ImageScores(**answer["scores"]), child.read(answer["bytes"]))

    def stop(self) -> None:
        self._broken = True
        if self._child is not None:
            self._child.stop()


def main() -> None:
    """Answer requests until the input ends."""
    while line := sys.stdin.buffer.readline():
        shape = json.loads(line)["shape"]
        size = int(np.prod(shape))
        data = sys.stdin.buffer.read(2 * size)
        reference, test = np.frombuffer(data, np.uint8).reshape(2, *shape)
        scores, heat = score_pair(reference, test)
        send_answer(sys.stdout.buffer, {"scores": scores.to_json(), "bytes": len(heat)}, heat)


if __name__ == "__main__":
    main()
