"""A separate process, with limited time and memory, for images whose cost of decoding is not known beforehand.

``python -P -m datagen.images.decoder`` uses its standard streams. A request is a line ``{"bytes": N, "max_pixels": M}`` and N bytes, the
file; the answer is a line ``{"shape": [HEIGHT, WIDTH, 3]}`` and the pixels, or a line ``{"error": REASON}``. If a file ends the process,
its parent starts another.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import resource
import signal
import sys
from threading import Lock

import numpy as np
from PIL import AvifImagePlugin, Image

from datagen.errors import ImageError
from datagen.images.decoding import decode
from datagen.images.limits import allow_pixels, allowance, max_pixels
from datagen.io.bounds import bound_memory, bound_time, peak_memory, taken_memory
from datagen.io.child import Child, module_command, send_answer

DECODER = "datagen.images.decoder"
"""The module that runs as the process."""
SECONDS = 8.0  # of processor time for an image; like the memory, raised with the pixels that are allowed
MOST_BYTES = 2**30  # of memory for an image
HANG_SECONDS = 120.0  # of real time, enough on a busy machine
_MOST_LOGGED = 2**20  # bytes of decoders' messages on standard error
_MOST_OF_THE_REASON = 200  # characters of such a message in an error
_INSTEAD = "save it as a PNG, or allow more with --max-pixels"
_TRIES = 2  # the process may have ended for another reason than the image


class _Decoder:
    """The parent's side of the process: starts it for the first file, and again after each file that ends it."""

    def __init__(self) -> None:
        self._using = Lock()
        self._child: Child | None = None

    def decode(self, data: bytes) -> np.ndarray:
        reason = ""
        with self._using:
            for _ in range(_TRIES):
                try:
                    return self._asked(data)
                except EOFError as error:
                    reason = f" ({error})" if str(error) else ""
        raise ImageError(f"crashes what decodes it{reason}; save it as a PNG")

    def _asked(self, data: bytes) -> np.ndarray:
        """The pixels. `EOFError` with the last line of standard error if the process has ended; `ImageError` if the file is too slow or
        cannot be decoded."""
        child = self._child = self._child or Child(module_command(DECODER))
        slow = ImageError(f"takes more than {SECONDS * allowance():.0f} s to decode; {_INSTEAD}")
        with contextlib.ExitStack() as unfinished:
            unfinished.callback(self.stop)  # after an interrupt, too: the rest of this answer would be read as the next one
            try:
                child.ask({"bytes": len(data), "max_pixels": max_pixels()}, data)
                answer = child.answer(HANG_SECONDS * allowance())
                pixels = child.read(math.prod(answer.get("shape", (0,))))
            except TimeoutError:
                raise slow from None
            except EOFError:
                if child.status() == -signal.SIGXCPU:
                    raise slow from None
                raise EOFError("".join(child.tail().splitlines()[-1:])[:_MOST_OF_THE_REASON]) from None
            unfinished.pop_all()
        if "error" in answer:
            raise ImageError(answer["error"])
        return np.frombuffer(pixels, np.uint8).reshape(answer["shape"]).copy()

    def stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.stop()


_DECODER = _Decoder()
decode_apart = _DECODER.decode
"""As `datagen.images.decoding.decode`, in the separate process. `ImageError`, too, if that takes more time or memory than is allowed."""
atexit.register(_DECODER.stop)
os.register_at_fork(after_in_child=_DECODER.__init__)  # type: ignore[misc]  # the process belongs to the parent


def main() -> int:
    """Decode files until the input ends, or one has taken much memory; return the exit status."""
    Image.init()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each thread takes memory of its own
    for kind, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, _MOST_LOGGED)):
        resource.setrlimit(kind, (most, most))
    taken, requests, answers = taken_memory(), sys.stdin.buffer, sys.stdout.buffer
    for line in requests:
        request = json.loads(line)
        allow_pixels(request["max_pixels"])
        most = int(MOST_BYTES * allowance())
        bound_memory(taken + request["bytes"] + most)
        bound_time(SECONDS * allowance())
        try:
            pixels = decode(requests.read(request["bytes"]))
        except ImageError as error:  # a decoder that lacks memory may raise any error
            maybe = f", or one that takes more than {most / 1e9:.1f} GB to decode; {_INSTEAD}"
            send_answer(answers, {"error": f"{error}{maybe if _used_much_memory(most) else ''}"})
        else:
            send_answer(answers, {"shape": pixels.shape}, pixels.tobytes())
        if _used_much_memory(most):  # the next file is decoded in a new process
            break
    return 0


def _used_much_memory(most: int) -> bool:
    """Whether the peak memory of this process is so high that the file decoded may have reached the limit."""
    return peak_memory() > most // 2


if __name__ == "__main__":
    sys.exit(main())
