"""Runs work that untrusted files define (a chat template, a tokenizer's rules) in a separate process with limits on time and memory.

`ask` starts ``python -P -m MODULE``, and `MODULE` calls `answer`; request and answer are JSON.
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

SECONDS = 5  # of processor time; benign work takes milliseconds
MOST_BYTES = 2**30  # of address space beyond what the process starts with
START_SECONDS = 120  # of wall-clock time for start and work together; enough on a busy machine


def ask(module: str, request: Any, what: str) -> Any:
    """The answer of a module's process. `UserError`, beginning with ``what``, if the work fails or exceeds the limits."""
    try:
        done = subprocess.run(
            module_command(module),
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
            start_new_session=True,  # so that Ctrl-C does not end it: an end by a signal means exceeded limits
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
    """In the started process: read the request, run ``work`` on it within the limits, and write the answer."""
    request = json.load(sys.stdin)
    _limit()
    try:
        answered = {"answer": work(request)}
    except MemoryError:
        answered = {"error": "it takes too much memory"}
    except BaseException as error:  # untrusted work may raise anything; a Rust panic is no Exception
        answered = {"error": (str(error) or repr(error)).splitlines()[0][:300]}
    json.dump(answered, sys.stdout)


def _limit() -> None:
    """Limit this process to `SECONDS` and `MOST_BYTES` more than it has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[0])
    most = pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
