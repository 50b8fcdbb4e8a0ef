"""A repeated import: unchanged shards are kept, changed ones are made anew, and nothing outdated is left over."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datagen.code.predictions import read_predictions
from datagen.errors import UserError
from datagen.formats import clevr_import
from datagen.formats.clevr_import import CODES, import_clevr
from datagen.io.written import list_name
from datagen.shards.reader import Samples
from igllm import main

Document = dict[str, Any]


def small_set(folder: Path, count: int = 5) -> Document:
    """Scenes of one object, with images of 20x16 pixels. Each states its camera, so that none is searched for."""
    scenes = []
    for index in range(count):
        name = f"a_{index}.png"
        thing = {"color": "red", "size": "large", "shape": "cube", "material": "metal", "rotation": 10.0 + index}
        place = {"3d_coords": [0.5 * index - 1, 0.2, 0.7], "pixel_coords": [10, 8, 10.5]}
        camera = {"name": "own", "location": [7.0, -6.0, 5.0 + index / 10]}
        scenes.append({"image_filename": name, "split": "val", "camera": camera, "objects": [{**thing, **place}]})
        paint(folder, name, index)
    return {"info": {}, "scenes": scenes}


def paint(folder: Path, name: str, seed: int) -> None:
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 20, 3), dtype=np.uint8)).save(folder / name)


def read(document: Document, images: Path, out: Path) -> Any:
    (images / "scenes.json").write_text(json.dumps(document))
    return import_clevr(images / "scenes.json", out, images)


def content(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.name != list_name("import")}


CHANGES: dict[str, Callable[[Document, Path, int], Any]] = {
    "a picture": lambda document, folder, at: paint(folder, f"a_{at}.png", 99),
    "a picture's format": lambda document, folder, at: Image.open(folder / f"a_{at}.png").save(folder / f"a_{at}.png", "JPEG"),
    "a missing picture": lambda document, folder, at: (folder / f"a_{at}.png").unlink(),
    "a pixel coordinate": lambda document, folder, at: document["scenes"][at]["objects"][0].update(pixel_coords=[11, 8, 10.5]),
    "a depth": lambda document, folder, at: document["scenes"][at]["objects"][0].update(pixel_coords=[10, 8, 10.6]),
    "a place": lambda document, folder, at: document["scenes"][at]["objects"][0].update({"3d_coords": [0.1, 0.2, 0.7]}),
    "a colour": lambda document, folder, at: document["scenes"][at]["objects"][0].update(color="blue"),
    "a camera": lambda document, folder, at: document["scenes"][at].update(camera={"location": [7.4, -6.5, 5.4]}),
    "the split": lambda document, folder, at: document["scenes"][at].update(split="test"),
    "the order": lambda document, folder, at: document["scenes"].insert(0, document["scenes"].pop(at)),
    "one scene less": lambda document, folder, at: document["scenes"].pop(at),
    "one scene more": lambda document, folder, at: (
        document["scenes"].append({**document["scenes"][at], "image_filename": "b.png"}),
        paint(folder, "b.png", at),
    ),
    "nothing": lambda document, folder, at: None,
}

IN_PLACE = ("a picture", "a pixel coordinate", "a depth", "a place", "a colour", "a camera")


@settings(max_examples=16)
@given(change=st.sampled_from(sorted(CHANGES)), at=st.integers(0, 4))
def test_whatever_changes_between_two_imports_the_second_is_as_a_fresh_one(
    change: str, at: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    images = tmp_path_factory.mktemp("images")
    document = small_set(images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clevr_import, "SHARD_SIZE", 2)
        read(document, images, images / "out")
        CHANGES[change](document, images, at)
        again = read(document, images, images / "out")
        read(document, images, images / "fresh")
    assert content(images / "out") == content(images / "fresh")
    if change == "nothing":
        assert (again.earlier, again.stale) == (5, 0)
        assert again.lines()[0] == "there already, imported by an earlier call: 5 scenes"
    elif change in IN_PLACE:
        assert (again.earlier, again.stale) == (2 * (at // 2), 5 - 2 * (at // 2))


def test_an_import_of_before_this_was_recorded_is_made_anew(tmp_path: Path) -> None:
    document = small_set(tmp_path)
    read(document, tmp_path, tmp_path / "out")
    (tmp_path / "out" / "sources.jsonl").unlink()
    again = read(document, tmp_path, tmp_path / "out")
    assert (again.earlier, again.stale) == (0, 5)
    assert "imported anew, for the file, the images or the shards have changed: 5 scenes" in again.lines()
    assert main(["verify", str(tmp_path / "out")]) == 0


def test_codes_of_an_earlier_file_do_not_stay(tmp_path: Path) -> None:
    document = small_set(tmp_path)
    (tmp_path / "scenes.json").write_text(json.dumps(document))
    import_clevr(tmp_path / "scenes.json", tmp_path / "out")
    fewer = copy.deepcopy(document)
    del fewer["scenes"][1:3]
    fewer["scenes"][0]["objects"][0]["color"] = "green"
    (tmp_path / "scenes.json").write_text(json.dumps(fewer))
    import_clevr(tmp_path / "scenes.json", tmp_path / "out")
    import_clevr(tmp_path / "scenes.json", tmp_path / "fresh")
    assert content(tmp_path / "out") == content(tmp_path / "fresh")
    assert set(read_predictions(tmp_path / "out" / CODES)) == {"a_0", "a_3", "a_4"}
    assert 'color="green"' in Samples(tmp_path / "out").code("a_0")


def test_shards_and_codes_do_not_share_a_folder(tmp_path: Path) -> None:
    document = small_set(tmp_path)
    read(document, tmp_path, tmp_path / "shards")
    import_clevr(tmp_path / "scenes.json", tmp_path / "codes")
    with pytest.raises(UserError, match="holds shards"):
        import_clevr(tmp_path / "scenes.json", tmp_path / "shards")
    with pytest.raises(UserError, match="holds code without pixels"):
        read(document, tmp_path, tmp_path / "codes")


def test_an_import_is_verified_by_its_samples_and_not_merged_into_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An import has no settings that show whether two sets' shards belong together."""
    (tmp_path / "images").mkdir()
    out = tmp_path / "out"
    read(small_set(tmp_path / "images"), tmp_path / "images", out)
    assert main(["verify", str(out)]) == main(["merge", str(out)]) == 0
    assert main(["merge", str(tmp_path / "new"), "--from", str(out)]) == 2
    assert f"{out}: was imported, and only what `igllm generate` has made is merged" in capsys.readouterr().err
    row = json.loads((out / "manifest.jsonl").read_text())
    (out / "manifest.jsonl").write_text(json.dumps({**row, "samples": 4, "missing": [4]}) + "\n")
    assert main(["verify", str(out)]) == 1
    assert "shard-000000.tar: holds other samples than the manifest states" in capsys.readouterr().out
