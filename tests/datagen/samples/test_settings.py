"""Settings of a data set: splits and cameras from untrusted files, refused settings, and the round trip through JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from places import EXAMPLES

from datagen.domains.clevr import CAMERA, COLORS, MATERIALS, SHAPES, SIZES
from datagen.domains.registry import get_domain
from datagen.domains.split_files import load_split, split_from_json
from datagen.domains.splits import Split, word_table
from datagen.errors import UserError
from datagen.samples.cameras import load_cameras
from datagen.samples.draw import draw
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera, Shot

CLEVR = get_domain("clevr")
VOCABULARY = {"shape": SHAPES, "size": tuple(SIZES), "material": MATERIALS, "color": tuple(COLORS)}
BOUNDS = {"loc.x": (-3000, 3000, 1000), "loc.y": (-3000, 3000, 1000), "rotation": (0, 900, 10)}


def written(path: Path, data: Any) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


@st.composite
def splits(draw: Any) -> Split:
    combinations = []
    for _ in range(draw(st.integers(1, 3))):
        names = draw(st.lists(st.sampled_from(list(VOCABULARY)), unique=True))
        combinations.append({n: draw(st.lists(st.sampled_from(VOCABULARY[n]), min_size=1, unique=True)) for n in names})
    ranges = {}
    for name in draw(st.lists(st.sampled_from(list(BOUNDS)), unique=True)):
        low, high, scale = BOUNDS[name]
        ranges[name] = sorted(draw(st.lists(st.integers(low, high), min_size=2, max_size=2)))
        ranges[name] = [end / scale for end in ranges[name]]
    name = draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True))
    assume(name not in CLEVR.splits)
    objects = sorted(draw(st.lists(st.integers(0, 10), min_size=2, max_size=2)))
    return split_from_json({"name": name, "combinations": combinations, "ranges": ranges, "objects": objects}, CLEVR, "drawn")


SPACE = st.floats(-100, 100)
CAMERAS = st.builds(
    Camera,
    st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.floats(3.2, 50)),
    st.tuples(SPACE, SPACE, st.floats(-100, 1)),
    st.floats(1, 5000),
    st.floats(1, 100),
)


@st.composite
def settings_of_all_kinds(draw: Any) -> DatasetSettings:
    named = {c.name: c for c in draw(st.lists(st.builds(renamed, CAMERAS, st.sampled_from("abcdef")), max_size=4))}
    rules = draw(st.one_of(splits(), st.sampled_from(list(CLEVR.splits.values()))))
    return DatasetSettings(
        rules=rules,
        seed=draw(st.integers(0, 2**32 - 1)),
        width=draw(st.integers(16, 8192)),
        height=draw(st.integers(16, 8192)),
        quality=draw(st.sampled_from(["draft", "standard", "reference"])),
        cameras=() if rules.camera else tuple(named.values()),
        camera_jitter=0.0 if rules.camera else draw(st.floats(0, 2)),
        light_jitter=draw(st.floats(0, 2)),
        image_format=draw(st.sampled_from(["png", "jpg", "webp"])),
        captions=draw(st.booleans()),
        depth=draw(st.booleans()),
        shard_size=draw(st.integers(1, 10**6)),
    )


def renamed(camera: Camera, name: str) -> Camera:
    return Camera(camera.location, camera.target, camera.lens_mm, camera.sensor_mm, name)


@given(settings_of_all_kinds())
@settings(max_examples=30)
def test_settings_survive_json(chosen: DatasetSettings) -> None:
    text = json.dumps(chosen.to_json(), allow_nan=False)
    assert DatasetSettings.from_json(json.loads(text)) == chosen
    assert DatasetSettings.from_json({**json.loads(text), "format_version": 2, "num": 3, "versions": {}}) == chosen


@given(splits())
def test_the_word_table_leads_to_every_allowed_object_and_to_no_other(split: Split) -> None:
    choices = tuple(CLEVR.statements[0].argument(name) for name in CLEVR.drawn_words)
    table = word_table(split, choices)  # type: ignore[arg-type]
    for shape in SHAPES:
        for size in SIZES:
            for material in MATERIALS:
                for color in COLORS:
                    words = {"shape": shape, "size": size, "material": material, "color": color}
                    allowed = any(all(words[a] in listed for a, listed in combination) for combination in split.combinations)
                    path = (shape, size, material, color)
                    assert allowed == all(word in table.get(path[:i], ()) for i, word in enumerate(path))


def test_defaults_are_filled_in() -> None:
    chosen = DatasetSettings()
    assert chosen == DatasetSettings(rules=CLEVR.split("default"), min_objects=3, max_objects=10, cameras=(CAMERA,))
    few = DatasetSettings(rules=Split("few", objects=(1, 2)), max_objects=4)
    assert (few.split, few.objects) == ("few", (1, 4))
    assert DatasetSettings(split="cogent-b").allowed == CLEVR.splits["cogent-b"]


def test_a_split_from_a_file_holds_what_it_allows(tmp_path: Path) -> None:
    content = {
        "combinations": [{"shape": ["cube"], "color": ["red", "blue"]}, {"shape": ["sphere"], "size": ["small"]}],
        "ranges": {"loc.x": [-3, 0], "rotation": [30, 45]},
        "objects": [1, 3],
    }
    split = load_split(str(written(tmp_path / "few.json", content)), CLEVR)
    assert (split.name, split.objects) == ("few", (1, 3))
    seen = [obj for index in range(40) for obj in draw(DatasetSettings(rules=split, width=64, height=48), index).scene]
    assert {(o["shape"], o["color"]) for o in seen if o["shape"] == "cube"} == {("cube", "red"), ("cube", "blue")}
    assert {(o["shape"], o["size"]) for o in seen if o["shape"] != "cube"} == {("sphere", "small")}
    assert all(-3 <= o["loc"][0] <= 0 for o in seen)
    assert all(30 <= o["rotation"] <= 45 for o in seen if o["shape"] == "cube")
    assert min(o["loc"][0] for o in seen) < -2 < -1 < max(o["loc"][0] for o in seen)


@pytest.mark.parametrize("split", ["cogent-a", "cogent-b"])
def test_cogent_keeps_its_palettes(split: str) -> None:
    one, two = {"gray", "blue", "brown", "yellow"}, {"red", "green", "purple", "cyan"}
    cubes, cylinders = (one, two) if split == "cogent-a" else (two, one)
    drawn = [draw(DatasetSettings(split=split, width=64, height=48), index) for index in range(25)]
    seen = [(obj["shape"], obj["color"]) for sample in drawn for obj in sample.scene]
    assert {color for shape, color in seen if shape == "cube"} == cubes
    assert {color for shape, color in seen if shape == "cylinder"} == cylinders
    assert {color for shape, color in seen if shape == "sphere"} == one | two


BAD_SPLITS: list[tuple[Any, str]] = [
    ("{", "is not JSON"),
    ("[" * 100_000, "is not JSON"),
    ("\xff\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "is not JSON"),
    ('{"name": "a", "name": "b"}', "'name' is given twice"),
    ([], "must be an object"),
    ({"shapes": []}, "has the key 'shapes'; known are name, combinations, ranges, objects, regions"),
    ({"name": "a/b"}, "name is .* must be a name"),
    ({"name": 3}, "name is 3"),
    ({"name": "cogent-a"}, "built-in"),
    ({"combinations": []}, "combinations is .* must be a list of length >= 1"),
    ({"combinations": {}}, "combinations is"),
    ({"combinations": [[]]}, r"combinations\[0\] is"),
    ({"combinations": [{}, {"form": ["cube"]}]}, r"combinations\[1\] has the key 'form'; known are color, material, size, shape"),
    ({"combinations": [{"loc": ["cube"]}]}, "has the key 'loc'"),
    ({"combinations": [{"shape": "cube"}]}, r"combinations\[0\].shape is \"cube\", but must be a list"),
    ({"combinations": [{"shape": []}]}, r"combinations\[0\].shape is"),
    ({"combinations": [{"shape": ["cube", "cone"]}]}, r"shape\[1\] is \"cone\", but must be one of cube, sphere, cylinder"),
    ({"combinations": [{"shape": ["cube", 1]}]}, r"shape\[1\] is 1, but must be a string"),
    ({"combinations": [{"shape": ["cube", "cube"]}]}, "different words"),
    ({"ranges": []}, "ranges is"),
    ({"ranges": {"loc.z": [0, 1]}}, "has the key 'loc.z'; known are loc.x, loc.y, rotation"),
    ({"ranges": {"loc.x": 1}}, "ranges.loc.x is 1, but must be a list"),
    ({"ranges": {"loc.x": [0, "1"]}}, r"ranges.loc.x\[1\] is"),
    ({"ranges": {"loc.x": [0, True]}}, r"ranges.loc.x\[1\] is true"),
    ('{"ranges": {"loc.x": [0, NaN]}}', "finite number"),
    ('{"ranges": {"loc.x": [0, 1e999]}}', "finite number"),
    ({"ranges": {"loc.x": [0, 10**400]}}, "finite number"),
    ({"ranges": {"loc.x": [1, 0]}}, r"ranges.loc.x is \[1.0, 0.0\], but must be \[low, high\] within \[-3, 3\] m"),
    ({"ranges": {"loc.x": [0, 4]}}, "within"),
    ({"ranges": {"rotation": [0, 0.25]}}, "of at most 1 decimals"),
    ({"objects": 3}, "objects is 3"),
    ({"objects": [3]}, "objects is"),
    ({"objects": [3, 4.0]}, r"objects\[1\] is 4.0, but must be a whole number"),
    ({"objects": [5, 4]}, "objects from 5 to 4"),
    ({"objects": [3, 30]}, "places 0 to 10"),
    ("[" + "0," * 600_000 + "0]", "bytes, more than 1,000,000"),
]


@pytest.mark.parametrize(("content", "message"), BAD_SPLITS, ids=range(len(BAD_SPLITS)))
def test_a_mistake_in_a_splits_file_is_told(content: Any, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "mine.json", content)
    with pytest.raises(UserError, match=message) as caught:
        load_split(str(path), CLEVR)
    assert str(caught.value).startswith(str(path))


def test_a_split_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read \(No such file"):
        load_split(str(tmp_path / "none.json"), CLEVR)
    with pytest.raises(UserError, match="choose one of default, cogent-a, cogent-b, any-view, or give a FILE"):
        load_split("cogent-c", CLEVR)


STANDS = {"location": [7, -6, 5]}
BAD_CAMERAS: list[tuple[Any, str]] = [
    ([], "must be an object"),
    ({}, "at least one camera"),
    ('{"a": {"location": [7, -6, 5]}, "a": {"location": [7, -6, 5]}}', "'a' is given twice"),
    ({"a b": STANDS}, "must be a name"),
    ({"a": [7, -6, 5]}, "a is .* must be an object"),
    ({"a": {}}, "a: location is missing"),
    ({"a": {"location": [7, -6]}}, "a.location is"),
    ({"a": {"location": [7, -6, "5"]}}, r"a.location\[2\] is"),
    ({"a": {**STANDS, "fov": 40}}, "a has the key 'fov'; known are location, target, lens_mm, sensor_mm"),
    ({"a": {**STANDS, "lens_mm": 0}}, r"a.lens_mm is 0.0, but must be in \[1, 5000\] mm"),
    ({"a": {**STANDS, "sensor_mm": -1}}, r"a.sensor_mm is -1.0, but must be in \[1, 100\] mm"),
    ({"a": {**STANDS, "target": [7, -6, 5]}}, "a.target is .* at least 0.1 m from the camera's location"),
    ({"a": {"location": [7, -6, -1]}}, "a.location is .* above the ground and in front of the backdrop"),
    ({"a": {"location": [7, -6, 0]}}, "a.location is .* above the ground"),
    ({"a": {"location": [-40, 13, 5], "target": [-80, 26, 5]}}, "in front of the backdrop"),
    ({"a": {"location": [7, -6, 5000]}}, r"a.location\[2\] is 5000.0, but must be in \[-500, 500\] m"),
]


@pytest.mark.parametrize(("content", "message"), BAD_CAMERAS, ids=range(len(BAD_CAMERAS)))
def test_a_mistake_in_a_cameras_file_is_told(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        DatasetSettings(cameras=load_cameras(written(tmp_path / "cameras.json", content)))


BAD_SETTINGS: list[dict[str, Any]] = [
    {"domain": "chess"},
    {"split": "cogent-c"},
    {"min_objects": 5, "max_objects": 4},
    {"min_objects": -1},
    {"max_objects": 30},
    {"seed": -1},
    {"seed": 2**32},
    {"width": 3},
    {"quality": "best"},
    {"image_format": "gif"},
    {"shard_size": 0},
    {"camera_jitter": -0.1},
    {"camera_jitter": float("nan")},
    {"camera_jitter": 6.0},
    {"light_jitter": 3.0},
    {"light_jitter": float("inf")},
    {"cameras": (CAMERA, CAMERA)},
    {"cameras": (Camera((1.0, 1.0, float("nan"))),)},
    {"rules": Split("default", objects=(1, 1))},
    {"rules": Split("mine", ())},
    {"rules": Split("mine", ((("shape", ()),),))},
]


@pytest.mark.parametrize("chosen", BAD_SETTINGS, ids=str)
def test_settings_that_cannot_be_are_refused(chosen: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        DatasetSettings(**chosen)


@pytest.mark.parametrize("field", DatasetSettings().to_json())
@pytest.mark.parametrize("value", [None, [], {}, "", -1, 0.5, [[]], {"a": 1}], ids=str)
def test_damaged_settings_are_told_or_other_settings(field: str, value: Any) -> None:
    whole = DatasetSettings().to_json()
    with pytest.raises(UserError, match=f"{field} is missing"):
        DatasetSettings.from_json({name: v for name, v in whole.items() if name != field})
    try:
        found = DatasetSettings.from_json({**whole, field: value})
    except UserError:
        return
    assert DatasetSettings.from_json(found.to_json()) == found


def test_a_shot_remembers_its_cameras_name() -> None:
    shot = CLEVR.canonical_shot(32, 24, "draft")
    named = Shot(32, 24, "draft", renamed(CAMERA, "left"), shot.lamps, 0)
    assert Shot.from_json(named.to_json()) == named
    before = shot.to_json()
    del before["camera"]["name"]
    assert Shot.from_json(before) == shot


def test_the_examples_are_sound() -> None:
    folder = EXAMPLES / "own_split"
    chosen = DatasetSettings(rules=load_split(str(folder / "split.json"), CLEVR), cameras=load_cameras(folder / "cameras.json"))
    assert len(chosen.cameras) > 1
    assert draw(chosen, 0).shot.camera in chosen.cameras
