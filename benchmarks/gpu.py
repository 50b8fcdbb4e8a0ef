"""Everything that is to be known of a machine with a GPU, in one table, within eight minutes.

    python benchmarks/gpu.py [--out DIR] [--work DIR] [--only PART ...] [--minutes 8] [--device auto]      or: make gpu-check

Parts: ``train-tiny``, ``train-small`` and ``train-paper`` compare ``igllm train`` with a bare PyTorch loop over the same model and batches,
and say where a step's time goes; ``predict-paper`` compares prediction with 7 billion parameters with ``generate()``; ``render-cpu`` and
``render-gpu`` count the frames a second of ``igllm generate`` where Blender is there. Nothing is fetched: random weights of the published
sizes stand in for checkpoints.

Each part is a process of its own. One that fails or takes too long leaves its reason in the table. When a part ends, ``results.json`` and
``table.md`` in ``--out`` are written anew; parts that an earlier call measured stay there, so a table can be made in several calls. What
parts need and share lies in ``--work`` (14 GB with ``paper``) and may be removed afterwards. Python from 3.11 and torch from 2.10 do, and
igllm need not be installed. Without a GPU, shrunk parts run on the CPU, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from gpu_table import as_markdown  # noqa: E402

LIMITS = {"train-tiny": 90, "train-small": 90, "train-paper": 220, "predict-paper": 150, "render-cpu": 60, "render-gpu": 120}
"""The parts in their order, and the seconds that each may take at most."""
VARIANTS = {"train-paper-halves": 220, "train-paper-auto": 220}
"""Parts that are measured only if they are asked for: `paper` in two batches a step, and with ``gradient_checkpointing=auto``, too."""
NEEDED = ("accelerate", "jsonlines", "msgspec", "numpy", "peft", "PIL", "safetensors", "sentencepiece", "torch", "tqdm", "transformers")
KNOWN = {**LIMITS, **VARIANTS}
LEAST_SECONDS = 10  # that must be left for a part to begin
RESULTS, TABLE = "results.json", "table.md"


class Stopped(Exception):
    """A part that gave no figures, with the reason."""


def main(arguments: list[str] | None = None) -> int:
    """Measure the parts. The exit status: 1 if one of them failed, 2 if none could begin."""
    options = _options(arguments)
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        print(f"{sys.executable} lacks {', '.join(missing)}: install them there, or call another Python", file=sys.stderr)
        return 2
    from datagen.io.files import write_bytes, write_json

    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / RESULTS
    results: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    end, failed = time.monotonic() + 60 * options.minutes, False
    for part in [name for name in KNOWN if name in options.only]:
        print(f"{part} ...", flush=True)
        begin = time.monotonic()
        try:
            found = _measured(part, options, min(KNOWN[part], end - begin))
            print(f"{part}: {time.monotonic() - begin:.0f} s", flush=True)
        except Stopped as reason:
            found, failed = {"failed": str(reason)}, True
            print(f"{part}: {reason}", flush=True)
        results[part] = {**found, "seconds": round(time.monotonic() - begin, 1), "commit": _commit()}
        write_json(kept, {name: results[name] for name in KNOWN if name in results})
        write_bytes(options.out / TABLE, as_markdown(results).encode())
    print(f"\n{as_markdown(results)}\n{kept}, {options.out / TABLE}")
    return int(failed)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu-check"), help="folder of the table")
    parser.add_argument("--work", type=Path, help="folder of bases and data, which later calls use again (default: work in --out)")
    parser.add_argument("--only", nargs="+", choices=KNOWN, default=list(LIMITS), metavar="PART", help="parts to measure")
    parser.add_argument("--minutes", type=float, default=8, help="after which no part begins or goes on")
    parser.add_argument("--device", default="auto", help="cpu measures shrunk parts, even beside a GPU")
    options = parser.parse_args(arguments)
    options.work = options.work or options.out / "work"
    return options


def _measured(part: str, options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """A part's figures. `Stopped` if it fails, or takes longer than ``seconds``."""
    if part.startswith("render") and find_spec("bpy") is None:
        return {"skipped": "Blender (bpy) is not installed for this Python"}
    if seconds < LEAST_SECONDS:
        raise Stopped(f"not begun: the {options.minutes:g} minutes are over; call again with --only {part}")
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_parts.py"), part, "--work", str(options.work), "--device", options.device]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    options.work.mkdir(parents=True, exist_ok=True)
    with (options.work / f"{part}.log").open("w+") as log:
        # A session of its own, so that the processes that a part starts can be ended with it.
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
        try:
            answer, _ = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Stopped(f"not done after {seconds:.0f} s{_last_words(log)}") from None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        if child.returncode:
            raise Stopped(f"ended with status {child.returncode}{_last_words(log)}")
    return json.loads(answer.splitlines()[-1])


def _last_words(log: TextIO) -> str:
    """What a part said last, and where the rest can be read."""
    log.seek(0)
    lines = [line.strip() for line in log.read().replace("\r", "\n").splitlines() if line.strip()]
    return f": {lines[-1][:300]} (all that it said: {log.name})" if lines else ""


def _commit() -> str:
    """The commit of the source, empty where git does not know."""
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which ends the part as well
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
