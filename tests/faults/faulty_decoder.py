"""A decoder of images whose fault the image's bytes name: ``endless``, ``crash``, or ``once`` (a single crash)."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from datagen.io.child import send_answer

for line in sys.stdin.buffer:
    request = json.loads(line)
    data = sys.stdin.buffer.read(request["bytes"])
    with Path(os.environ["FAULTS_LOG"]).open("a") as log:
        log.write(f"{data.decode()}\n")
    if data == b"endless":
        os.kill(os.getpid(), signal.SIGXCPU)
    if data == b"crash" or (data == b"once" and Path(os.environ["FAULTS_LOG"]).read_text().count("once") == 1):
        print("something is\nvery wrong", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    send_answer(sys.stdout.buffer, {"shape": [1, 1, 3]}, b"abc")
