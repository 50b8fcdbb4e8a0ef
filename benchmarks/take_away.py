"""What the files to take away of a scene cost beside its picture: CPU seconds a scene, on one core.

``python -P benchmarks/take_away.py --num 20``. The picture is that of a warm worker; the files are written by a warm process, as they are
for all scenes of a call but the first, and once more by a process that is started for each scene.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import bpy

from blender_scenes.answer import Answerer
from blender_scenes.exporter import write_files
from blender_scenes.fresh import start_empty
from datagen.io.child import module_command
from datagen.samples.draw import draw
from datagen.samples.settings import DatasetSettings
from datagen.scene import QUALITIES
from datagen.workers.exporter import MODULE
from datagen.workers.jobs import EXPORTS, RenderJob

FRESH = 3  # scenes for which a process is started


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--num", type=int, default=20)
    parser.add_argument("--domain", default="clevr")
    parser.add_argument("--quality", choices=QUALITIES, default="draft")
    asked = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    settings = DatasetSettings(domain=asked.domain, width=320, height=240, quality=asked.quality)
    drawn = [draw(settings, number) for number in range(asked.num)]
    jobs = [RenderJob(str(number), each.scene, each.shot) for number, each in enumerate(drawn)]
    answerer = Answerer()
    answerer.sample(jobs[0].request())
    seconds = [_cpu(answerer, job) for job in jobs]
    print(f"{asked.domain}, 320x240, {asked.quality}: {sum(seconds) / len(seconds):.3f} s a picture")
    with tempfile.TemporaryDirectory() as folder:
        for kinds in (["blend"], ["script"], ["glb"], list(EXPORTS)):
            wanted = [
                RenderJob(job.key, job.scene, job.shot, {kind: Path(folder, job.key + EXPORTS[kind]) for kind in kinds}) for job in jobs
            ]
            start_empty()
            write_files(wanted[0])
            started = time.process_time()
            for job in wanted:
                write_files(job)
            warm = (time.process_time() - started) / len(wanted)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            for job in wanted[:FRESH]:
                subprocess.run(module_command(MODULE), input=json.dumps(job.request()).encode() + b"\n", capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            fresh = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / min(FRESH, len(wanted))
            print(f"{' '.join(kinds)}: {warm:.3f} s in a warm process, {fresh:.3f} s in a new one: {fresh / warm:.1f} times as much")
    print(f"Blender {bpy.app.version_string}")


def _cpu(answerer: Answerer, job: RenderJob) -> float:
    started = time.process_time()
    answerer.sample(job.request())
    return time.process_time() - started


if __name__ == "__main__":
    main()
