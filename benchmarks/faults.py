"""Kill calls at random moments of every phase, call them again until they are done, and compare with undisturbed calls.

    python benchmarks/faults.py --out /tmp/faults

runs each phase twice, undisturbed and disturbed, and prints a table with a row for each phase: what was killed, how many kills fell inside
the phase (the files of the killed call prove it), the number of calls, the processes that outlived a kill, the temporary files left in the
end, the seconds, and whether both results are equal. In `generate`, which renders with Blender, one worker, all workers or the parent are
killed; code and records must be equal to the byte, and images the same. In all other phases the whole call is killed, and all files must be
equal to the byte.

The status is 1 if a result differs, a call ended with an unexpected status, something was left, or no kill fell inside a phase. Linux only.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from fault_kills import Tally, differing_samples, kill_calls, kill_workers, temporaries
from fault_phases import PHASES, command_of, frame_flags

from datagen.shards.verify import verify

GENERATE = "generate"


def main() -> int:
    options = _options()
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    rng = np.random.default_rng(options.seed)
    print("| phase | kills | inside | calls | orphans | temporaries left | seconds undisturbed | disturbed | verdict |", flush=True)
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    good = True
    for name in options.phases:
        if name == GENERATE:
            tally, *seconds = _generate(options, rng)
        else:
            tally, *seconds = kill_calls(PHASES[name](options), options.out / name, options.kills, rng)
        print(tally.row(name, *seconds), flush=True)
        print("\n".join([*tally.failed, *tally.differing[:20]]), end="\n" * bool(tally.failed or tally.differing), file=sys.stderr)
        good &= tally.good
    return 0 if good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for everything; emptied first")
    names = ", ".join((GENERATE, *PHASES))
    parser.add_argument("--phases", type=_phases, default=[GENERATE, *PHASES], metavar="P,P", help=f"of {names}; all by default")
    parser.add_argument("--kills", type=int, default=20, help="in each phase")
    parser.add_argument("--scenes", type=int, default=5000, help="that `generate` renders with Blender")
    parser.add_argument("--dots", type=int, default=600, help="samples of the other phases, which need no Blender")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--height", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0, help="of the scenes, the moments and the victims")
    parser.add_argument("--workers", type=int, help="Blender processes (default: one a core)")
    return parser.parse_args()


def _phases(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in (GENERATE, *PHASES):
            raise argparse.ArgumentTypeError(f"there is no phase {name}; choose of {', '.join((GENERATE, *PHASES))}")
    return names


def _generate(options: argparse.Namespace, rng: np.random.Generator) -> tuple[Tally, float, float]:
    """Render the same scenes undisturbed and disturbed. The tally, and the seconds of both."""
    calm, killed = options.out / "generate" / "undisturbed", options.out / "generate" / "killed"
    asked = f"--num {options.scenes} --seed {options.seed} --quality draft --shard-size 500"
    verb = ["generate", *asked.split(), *frame_flags(options)]
    begin = time.monotonic()
    subprocess.run(command_of(verb, calm), check=True)
    undisturbed = time.monotonic() - begin
    moments = np.sort(rng.uniform(0, undisturbed, options.kills))
    begin = time.monotonic()
    tally = kill_workers(command_of(verb, killed), moments, rng)
    disturbed = time.monotonic() - begin
    tally.differing += differing_samples(calm, killed)
    if not verify(killed).whole:
        tally.differing.append(f"{killed}: not whole")
    tally.left = temporaries(killed, calm)
    return tally, undisturbed, disturbed


if __name__ == "__main__":
    sys.exit(main())
