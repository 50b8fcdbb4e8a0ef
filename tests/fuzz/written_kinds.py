"""Fuzzer inputs: files that people, models and other programs write: predictions, code, splits, cameras, CLEVR's scenes."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import declared
import honest
from faults import CODE, dressed
from hypothesis import strategies as st
from kinds import Files, Kind, a_verb, verb

import igllm
from datagen.code.grammar import parse_code, write_code
from datagen.code.predictions import Prediction, read_predictions
from datagen.domains.registry import get_domain
from datagen.domains.split_files import load_split
from datagen.domains.splits import SplitFile
from datagen.formats.clevr_scenes import SceneEntry, published_scene
from datagen.samples.cameras import CamerasFile, load_cameras
from datagen.samples.lamps import LampsFile, load_lamps
from datagen.samples.settings import DatasetSettings
from datagen.shards.manifest import SourceRow
from render.other_shots import OtherShots
from render.rerender import Standard


def predictions() -> st.SearchStrategy[Files]:
    rows = [
        {"key": "000000000", "code": honest.dots()[0].code},
        {"key": "000000001", "code": honest.scene().code, "image": "x.png", "confidence": [0.5, 0.25, 1]},
        {"key": "b", "code": "", "confidence": [], "candidates": [{"code": honest.dots()[1].code, "logp": -1.5}, {"code": "", "logp": -2}]},
    ]
    return declared.damaged_lines(rows, Prediction).map(lambda data: {"pred.jsonl": data})


def _read_predictions(folder: Path, out: Path) -> int:
    read_predictions(folder / "pred.jsonl")
    return 0


def codes() -> st.SearchStrategy[Files]:
    """Graphics code with up to three changes: a word put in, or a few characters replaced by one, removed or repeated."""
    lines = [*honest.scene().code.splitlines(), *(sample.code.strip() for sample in honest.dots())]
    words = [
        word for line in lines for word in line.replace("(", " ( ").replace(")", " ) ").replace(",", " , ").replace("=", " = ").split()
    ]
    change = st.tuples(
        st.integers(0, 2**16),
        st.sampled_from(["put", "replace", "remove", "repeat"]),
        st.one_of(declared.among(CODE), declared.among(words)),
    )

    def made(lines: list[str], changes: list[tuple[int, str, str]], dress: str, at: int) -> bytes:
        text = "\n".join(lines) + "\n"
        for place, sort, word in changes:
            start = place % (len(text) + 1)
            end = start if sort == "put" else min(len(text), start + len(word) % 5 + 1)
            new = {"put": word, "replace": word, "remove": "", "repeat": text[start:end] * 50}[sort]
            text = text[:start] + new + text[end:]
        return dressed(text.encode("utf-8", "surrogatepass"), dress, at)

    dress = st.sampled_from(["plain", "plain", "plain", "cut", "bom", "utf-16", "byte", "nul", "twice"])
    some = st.one_of(st.lists(st.sampled_from(lines[:3]), max_size=4), st.lists(st.sampled_from(lines[3:]), max_size=2))
    return st.builds(made, some, st.lists(change, max_size=3), dress, st.integers(0, 2**16)).map(lambda data: {"scene.py": data})


def _parse(folder: Path, out: Path) -> int:
    """Parse code of dot2d or clevr, check its ranges as `igllm render` does, and write it again."""
    text = (folder / "scene.py").read_bytes().decode("utf-8-sig", "replace")
    domain = get_domain("dot2d" if "dot" in text else "clevr")
    scene = parse_code(text, domain)
    domain.violations(scene)
    write_code(scene, domain)
    return 0


def splits() -> st.SearchStrategy[Files]:
    bases = [
        *({**split.to_json(), "name": "own"} for name in ("dot2d", "clevr") for split in get_domain(name).splits.values()),
        {"name": "own", "ranges": {"loc.x": [0.1, 0.5]}, "objects": [1, 1], "regions": [{"loc.x": [[0.1, 0.2], [0.3, 0.4]]}]},
    ]
    return declared.damaged(bases, SplitFile, most=2).map(lambda data: {"own.json": data})


def _load_split(folder: Path, out: Path) -> int:
    domain = "clevr" if b"shape" in (folder / "own.json").read_bytes() else "dot2d"
    DatasetSettings(domain=domain, rules=load_split(str(folder / "own.json"), get_domain(domain)))
    return 0


def cameras() -> st.SearchStrategy[Files]:
    example = Path(igllm.__file__).parent / "examples" / "own_split" / "cameras.json"
    bases = [json.loads(example.read_text()), {"a": {"location": [7, -6, 5]}}]
    return declared.damaged(bases, CamerasFile, most=2).map(lambda data: {"cameras.json": data})


def _load_cameras(folder: Path, out: Path) -> int:
    DatasetSettings(cameras=load_cameras(folder / "cameras.json"), width=32, height=24).warnings()
    return 0


def lamps() -> st.SearchStrategy[Files]:
    bases = [{"key": {"location": [6, -3, 4], "power": 80, "size": 0.5, "color": [1, 0.9, 0.8]}, "b": {"location": [0, 0, 9], "power": 1}}]
    return declared.damaged(bases, LampsFile, most=2).map(lambda data: {"lamps.json": data})


def _load_lamps(folder: Path, out: Path) -> int:
    found = load_lamps(folder / "lamps.json")
    OtherShots(Standard(width=32, height=24), lamps=found).of({"a": ""})
    return 0


def published() -> st.SearchStrategy[Files]:
    """A damaged scenes file of CLEVR's, and the images that it names."""
    names = ["CLEVR_new_000000.png", "CLEVR_new_000001.png"]
    whole = {"info": {"split": "new"}, "scenes": [published_scene(honest.scene(), number, name) for number, name in enumerate(names)]}
    bare = {
        "image_filename": names[0],
        "objects": [{k: v for k, v in obj.items() if k != "pixel_coords"} for obj in whole["scenes"][0]["objects"]],
    }
    image = honest.scene().image
    scenes = st.one_of(
        declared.damaged([whole, whole["scenes"][0], bare], most=2), declared.damaged([whole["scenes"][0], bare], SceneEntry, most=1)
    )
    return scenes.map(lambda data: {"scenes.json": data, **{f"images/{name}": image for name in names}})


@cache
def _imported() -> Files:
    """A data set that was imported from a scenes file beside it."""
    folder = honest.home() / f"imported-{os.getpid()}"
    (folder / "images").mkdir(parents=True)
    name = "CLEVR_new_000000.png"
    (folder / "images" / name).write_bytes(honest.scene().image)
    (folder / "scenes.json").write_text(json.dumps({"info": {}, "scenes": [published_scene(honest.scene(), 0, name)]}))
    assert _import_again(folder, folder) == 0
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _import_again(folder: Path, out: Path) -> int:
    words = ["--format", "clevr", "--scenes", folder / "scenes.json", "--images", folder / "images"]
    return verb("import", *words, "--out", folder / "set")


def sources() -> st.SearchStrategy[Files]:
    """An imported data set with damage in ``sources.jsonl``, the record of what its shards were made from."""
    held = _imported()
    rows = [json.loads(line) for line in held["set/sources.jsonl"].splitlines()]
    return declared.damaged_lines(rows, SourceRow).map(lambda data: {**held, "set/sources.jsonl": data})


KINDS = {
    "prediction": Kind(
        predictions,
        _read_predictions,
        (
            (50, a_verb("render", "--code", "IN/pred.jsonl", "--domain", "dot2d", "--workers", "1", "--out", "OUT/rendered")),
            (
                30,
                a_verb(
                    "compare", "--reference", "IN/pred.jsonl", "--candidate", "IN/pred.jsonl", "--domain", "dot2d", "--out", "OUT/report"
                ),
            ),
        ),
    ),
    "code": Kind(
        codes, _parse, ((50, a_verb("render", "--code", "IN/scene.py", "--domain", "dot2d", "--workers", "1", "--out", "OUT/rendered")),)
    ),
    "split": Kind(
        splits,
        _load_split,
        (
            (
                50,
                a_verb(
                    "generate",
                    "--domain",
                    "dot2d",
                    "--split",
                    "IN/own.json",
                    "--num",
                    "1",
                    "--workers",
                    "1",
                    "--width",
                    "16",
                    "--height",
                    "16",
                    "--out",
                    "OUT/data",
                ),
            ),
        ),
    ),
    "camera": Kind(cameras, _load_cameras),
    "lamp": Kind(lamps, _load_lamps, share=0.5),
    "published": Kind(
        published,
        a_verb("import", "--format", "clevr", "--scenes", "IN/scenes.json", "--out", "OUT/codes"),
        ((300, a_verb("import", "--format", "clevr", "--scenes", "IN/scenes.json", "--images", "IN/images", "--out", "OUT/shards")),),
        share=0.5,
    ),
    "source": Kind(sources, _import_again, share=0.2),
}
