"""A worker without Blender, for tests of the requests to workers: it appends each to the file ``REQUESTS`` in the environment, and answers
with an empty sample, or with an error if the index is 13."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from datagen.io.child import send_answer

if __name__ == "__main__":
    out = sys.stdout.buffer
    send_answer(out, {"ready": True})
    for line in sys.stdin.buffer:
        with Path(os.environ["REQUESTS"]).open("ab") as log:
            log.write(line)
        send_answer(out, {"error": "13"} if json.loads(line)["index"] == 13 else {"files": {}})
