"""Files to take away (.blend, script, .glb), opened in a process that has Blender and nothing of this project: content and picture."""

from __future__ import annotations

import ast
import io
import json
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datagen.domains.base import Domain
from datagen.domains.clevr import COLORS
from datagen.domains.registry import get_domain
from datagen.samples.draw import draw
from datagen.samples.sample import EncodedSample
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera, Quality, Scene, Shot
from datagen.workers.jobs import EXPORTS, RenderJob
from datagen.workers.pool import RenderPool

KEY = '''two "words" of J\u00fcrgen's # """'''
OPEN = """
import json, runpy, sys
from pathlib import Path
import bpy

class Refused:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in ("datagen", "blender_scenes", "model", "render", "igllm", "numpy"):
            raise ImportError(name + " is not here")

sys.meta_path.insert(0, Refused)
answer = {}
for path in sys.argv[1:]:
    if path.endswith(".py"):
        sys.argv[1:] = [path + ".png"]
        runpy.run_path(path, run_name="__main__")
        continue
    bpy.ops.wm.read_factory_settings()
    bpy.ops.wm.open_mainfile(filepath=path)
    scene = bpy.context.scene
    collections = (getattr(bpy.data, name) for name in dir(bpy.data))
    kinds = [kind for kind in collections if isinstance(kind, bpy.types.bpy_prop_collection)]
    blocks = [block for kind in kinds for block in kind if hasattr(block, "users")]
    answer[Path(path).parent.name] = {
        "collections": {child.name: [thing.name for thing in child.objects] for child in scene.collection.children},
        "numbered": [block.name for block in blocks if block.name[-4:-3] == "."],
        "unused": [block.name for block in blocks if not block.users or block.use_fake_user],
        "scenes": [each.name for each in bpy.data.scenes],
        "properties": [name for thing in bpy.data.objects for name in thing.keys()],
        "path": scene.render.filepath,
        "format": scene.render.image_settings.file_format,
    }
    scene.render.filepath = path + ".png"
    bpy.ops.render.render(write_still=True)
print("FOUND" + json.dumps(answer))
"""


@dataclass(frozen=True)
class Taken:
    """What was taken away of a scene, and what another process found in its .blend file."""

    folder: Path
    domain: Domain
    scene: Scene
    shot: Shot
    pixels: np.ndarray
    found: dict[str, Any]

    def path(self, kind: str) -> Path:
        return self.folder / (KEY + EXPORTS[kind])

    def reopened(self, kind: str) -> np.ndarray:
        path = self.path(kind)
        with Image.open(path.with_name(path.name + ".png")) as image:
            return np.asarray(image.convert("RGB"))


def job_of(domain: str, quality: Quality, folder: Path) -> RenderJob:
    drawn = draw(DatasetSettings(domain=domain, width=48, height=36, quality=quality), 1)
    camera = Camera((0.0, -11.0, 3.0)) if domain == "clevr" else drawn.shot.camera  # which turns the ground
    return RenderJob(KEY, drawn.scene, replace(drawn.shot, camera=camera), {kind: folder / (KEY + EXPORTS[kind]) for kind in EXPORTS})


@pytest.fixture(scope="module")
def all_taken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Taken]:
    """One scene of each domain, made in one worker; the files are opened one after the other in one other process."""
    top = tmp_path_factory.mktemp("taken")
    jobs = {
        domain: job_of(domain, quality, top / domain) for domain, quality in (("clevr", "standard"), ("assets", "draft"), ("so3", "draft"))
    }
    pixels = {}
    with RenderPool(1) as pool:
        for domain, job in jobs.items():
            (top / domain).mkdir()
            [(_, sample)] = pool.render([job])
            assert isinstance(sample, EncodedSample), sample
            assert {path.name for path in (top / domain).iterdir()} == {KEY + suffix for suffix in EXPORTS.values()}
            pixels[domain] = sample.decoded().pixels()
    paths = [str(job.also[kind]) for job in jobs.values() for kind in ("blend", "script")]
    done = subprocess.run([sys.executable, "-P", "-I", "-c", OPEN, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("FOUND")]
    found = json.loads(line.removeprefix("FOUND"))
    return {
        domain: Taken(top / domain, get_domain(domain), job.scene, job.shot, pixels[domain], found[domain]) for domain, job in jobs.items()
    }


@pytest.fixture(params=["clevr", "assets", "so3"])
def taken(request: pytest.FixtureRequest, all_taken: dict[str, Taken]) -> Taken:
    return all_taken[request.param]


def names(taken: Taken) -> list[str]:
    """The names that the objects should have."""
    shapes = ["aeroplane-39"] if taken.domain.name == "so3" else [obj["shape"] for obj in taken.domain.canonical(taken.scene)]
    return [f"object_{number}_{shape}" for number, shape in enumerate(shapes, 1)]


def test_both_render_to_the_very_same_picture(taken: Taken) -> None:
    assert np.array_equal(taken.reopened("blend"), taken.pixels)
    assert np.array_equal(taken.reopened("script"), taken.pixels)


def test_the_blend_file_is_tidy(taken: Taken) -> None:
    """The worker keeps the blocks of other domains' scenes; none of them is in the file."""
    found = taken.found
    lamps = [lamp.name for lamp in taken.shot.lamps]
    if taken.domain.name == "clevr":
        lamps = ["sun 1 of 4", "sun 2 of 4", "sun 3 of 4", "sun 4 of 4", "key", "fill", "back 1 of 2", "back 2 of 2"]
    elif taken.domain.ground:
        lamps = ["sun", *lamps]
    stage = ["ground", "ground (unseen copy, for speed)", "camera"] if taken.domain.ground else ["camera"]
    assert found["collections"] == {"stage": stage, "lamps": lamps, "objects": names(taken)}
    assert found["numbered"] == found["unused"] == found["properties"] == []
    assert found["scenes"] == [KEY]
    assert (found["path"], found["format"]) == (f"//{KEY}.png", "PNG")


def test_the_script_states_the_scene_as_values_and_imports_only_blender(taken: Taken) -> None:
    tree = ast.parse(taken.path("script").read_bytes())
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert values["NAME"] == KEY
    assert [thing["name"] for thing in values["OBJECTS"]] == names(taken)
    for thing, obj in zip(values["OBJECTS"], taken.domain.canonical(taken.scene), strict=True):
        assert thing["location"] == pytest.approx(taken.domain.location(obj), abs=1e-6)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"array", "base64", "math", "os", "sys", "zlib", "bpy"}
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))


def glb_json(path: Path) -> dict[str, Any]:
    """The JSON of a .glb file."""
    data = path.read_bytes()
    magic, version, size, length, kind = struct.unpack_from("<4sIII4s", data)
    assert (magic, version, size, kind) == (b"glTF", 2, len(data), b"JSON")
    content: dict[str, Any] = json.loads(data[20 : 20 + length])
    return content


def test_the_glb_file_has_objects_camera_lamps_and_plain_materials(taken: Taken) -> None:
    content = glb_json(taken.path("glb"))
    by_name = {node["name"]: node for node in content["nodes"]}
    assert by_name.keys() >= {*names(taken), "camera", *(lamp.name for lamp in taken.shot.lamps)}
    assert "ground (unseen copy, for speed)" not in by_name
    lights = content["extensions"]["KHR_lights_punctual"]["lights"]
    assert len(lights) == len(taken.shot.lamps) + (1 if taken.domain.ground else 0)
    aspect = content["cameras"][0]["perspective"]["aspectRatio"]
    assert aspect == pytest.approx(48 / 36)
    assert all("pbrMetallicRoughness" in material for material in content["materials"])


def test_its_materials_have_the_colours_of_the_code(all_taken: dict[str, Taken]) -> None:
    taken = all_taken["clevr"]
    content = glb_json(taken.path("glb"))
    by_name = {node["name"]: node for node in content["nodes"]}
    for name, obj in zip(names(taken), taken.domain.canonical(taken.scene), strict=True):
        [primitive] = content["meshes"][by_name[name]["mesh"]]["primitives"]
        look = content["materials"][primitive["material"]]["pbrMetallicRoughness"]
        color = [level / 255 for level in COLORS[obj["color"]]]
        assert look["baseColorFactor"] == pytest.approx([*color, 1.0], abs=1e-6)
        assert look.get("metallicFactor", 1.0) == (1.0 if obj["material"] == "metal" else 0.0)


def test_a_pattern_is_baked_into_an_image_of_its_colours(all_taken: dict[str, Taken]) -> None:
    """Half the baked pixels of a pattern of two colours are near one of them, half near the other; in between lie soft edges."""
    taken = all_taken["assets"]
    content = glb_json(taken.path("glb"))
    data = taken.path("glb").read_bytes()
    start = 20 + struct.unpack_from("<I", data, 12)[0] + 8
    views = content["bufferViews"]
    by_name = {node["name"]: node for node in content["nodes"]}
    seen = 0
    for name, obj in zip(names(taken), taken.domain.canonical(taken.scene), strict=True):
        paint = taken.domain.paints(obj)[0]  # type: ignore[attr-defined]
        if paint.pattern in ("plain", "image"):
            continue
        primitive = content["meshes"][by_name[name]["mesh"]]["primitives"][0]
        texture = content["materials"][primitive["material"]]["pbrMetallicRoughness"]["baseColorTexture"]["index"]
        view = views[content["images"][content["textures"][texture]["source"]]["bufferView"]]
        at = start + view.get("byteOffset", 0)
        with Image.open(io.BytesIO(data[at : at + view["byteLength"]])) as image:
            pixels = linear(np.asarray(image.convert("RGB")).reshape(-1, 3))
        for color in (paint.first, paint.second):
            assert (np.abs(pixels - np.array(color) / 255).max(1) < 0.02).mean() > 0.02, (name, color)
        seen += 1
    assert seen


def linear(levels: np.ndarray) -> np.ndarray:
    """sRGB levels of 8 bits as linear light."""
    share = levels / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


VALIDATE = """
const fs = require("fs"), validator = require("gltf-validator");
Promise.all(process.argv.slice(1).map(path => validator.validateBytes(new Uint8Array(fs.readFileSync(path)))))
  .then(reports => console.log(JSON.stringify(reports.map(report => report.issues))));
"""


@pytest.mark.slow
def test_khronos_validator_finds_nothing_wrong(all_taken: dict[str, Taken], tmp_path: Path) -> None:
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("there is no node here")
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(tmp_path), "gltf-validator@2.0.0-dev.3.10"]
    if subprocess.run(install, capture_output=True, check=False).returncode:
        pytest.skip("no registry answers npm")
    paths = [str(taken.path("glb")) for taken in all_taken.values()]
    done = subprocess.run(["node", "-e", VALIDATE, *paths], cwd=tmp_path, capture_output=True, text=True, check=True)
    reports = json.loads(done.stdout)
    assert len(reports) == len(paths)
    assert [(report["numErrors"], report["numWarnings"]) for report in reports] == [(0, 0)] * len(paths), reports


REFUSED = """
import sys
from pathlib import Path
import bpy
from blender_scenes import script
from blender_scenes.fresh import start_empty
from blender_scenes.tidy import tidy_scene
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.scene import Scene

start_empty()
domain = get_domain("clevr")
stage = tidy_scene(domain, Scene("clevr", ()), domain.canonical_shot(32, 24, "draft"), "empty")
def refusal():
    try:
        script.save_script(stage.scene, stage.empty, Path(sys.argv[1]))
    except UserError as error:
        print("REFUSED", error)
script.MOST_BYTES = 5000
refusal()
stage.scene.objects["ground"].modifiers.new("softer", "SUBSURF")
refusal()
"""


@pytest.mark.slow
def test_what_a_script_cannot_hold_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "scene.py"
    done = subprocess.run([sys.executable, "-P", "-c", REFUSED, str(path)], capture_output=True, text=True, check=True)
    size, modifiers = (line for line in done.stdout.splitlines() if line.startswith("REFUSED"))
    assert "at most 0.0 MiB are written: take its .blend file" in size
    assert "an object with modifiers; take its .blend file" in modifiers
    assert not path.exists()
