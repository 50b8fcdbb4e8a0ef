"""Work that strangers' files describe (a template, a tokenizer's rules), done in a process of its own with an end to its time and memory.

The process is ``python -P -m MODULE``, where `MODULE` calls `answer`; `ask` starts it. Both speak JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from datagen.errors import UserError
from datagen.io.child import module_command

SECONDS = 5  # of processor time; what is meant well takes milliseconds
MOST_BYTES = 2**30  # of memory beyond what the process begins with
START_SECONDS = 120  # until it must have begun and ended, on the busiest machine


def ask(module: str, request: Any, what: str) -> Any:
    """What a module's process answers. `UserError`, which begins with ``what``, if the work fails, or takes more than it may."""
    try:
        done = subprocess.run(
            module_command(module),
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
            start_new_session=True,  # so that a signal which ends it is none that was sent to its parent as well
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{what} does not end within {START_SECONDS} s; a checkpoint with another is needed") from None
    if done.returncode < 0:
        raise UserError(
            f"{what} takes more than {SECONDS} s to apply, or more than {MOST_BYTES / 1e9:.0f} GB; a checkpoint with another is needed"
        )
    try:
        answered = json.loads(done.stdout)
    except ValueError:
        last_line = done.stderr.strip().splitlines()[-1:] or ["without a word"]
        raise UserError(f"{what} cannot be applied ({last_line[0][:300]})") from None
    if "error" in answered:
        raise UserError(f"{what} cannot be applied ({answered['error']})")
    return answered["answer"]


def answer(work: Callable[[Any], Any]) -> None:
    """In that process: read the request, and write what ``work`` makes of it within the limits."""
    request = json.load(sys.stdin)
    _limit()
    try:
        answered = {"answer": work(request)}
    except MemoryError:
        answered = {"error": "it takes too much memory"}
    except BaseException as error:  # whatever the author wrote; a panic of Rust is no Exception
        answered = {"error": (str(error) or repr(error)).splitlines()[0][:300]}
    json.dump(answered, sys.stdout)


def _limit() -> None:
    """From here on, this process has `SECONDS` and `MOST_BYTES` left."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[0])
    most = pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
