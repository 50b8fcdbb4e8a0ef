"""Objects as a camera sees them, and headers as an image tells them: the dialect of places in the image."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.domains.dialects import dialect
from datagen.domains.registry import get_domain
from datagen.domains.staged import StagedDomain
from datagen.errors import UserError
from datagen.samples.draw import draw
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera, Object, Scene, Shot

STAGED = ("clevr", "assets", "so3", "pose6d")
FIRST = {name: draw(DatasetSettings(domain=name, seed=5), 3) for name in STAGED}
WITHIN = {"clevr": 0.005, "assets": 0.005, "so3": 0.0, "pose6d": 0.005}  # metres: places are rounded


def staged(name: str) -> StagedDomain:
    domain = get_domain(name)
    assert isinstance(domain, StagedDomain)
    return domain


@st.composite
def cameras(draw: st.DrawFn) -> Camera:
    """A camera around the stage that looks about at its middle."""
    azimuth, elevation = draw(st.floats(-math.pi, math.pi)), math.radians(draw(st.floats(25, 80)))
    distance = draw(st.floats(6, 20))
    back = np.array([math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation), math.sin(elevation)])
    target = [draw(st.floats(-1, 1)) for _ in range(3)]
    x, y, z = (round(float(v), 3) for v in np.array(target) + distance * back)
    a, b, c = (round(v, 3) for v in target)
    return Camera((x, y, z), (a, b, c), round(draw(st.floats(20, 80)), 2))


def shot_by(camera: Camera, name: str) -> Shot:
    shot = staged(name).canonical_shot(320, 240, "draft")
    return Shot(320, 240, "draft", camera, shot.lamps, 0)


@pytest.mark.parametrize("name", STAGED)
@given(cameras())
def test_what_is_seen_means_the_scene_that_was_seen(name: str, camera: Camera) -> None:
    domain, scene = staged(name), FIRST[name].scene
    written = dialect(domain, places="image", header=True)
    meant = written.meant(written.written(scene, shot_by(camera, name)))
    for one, other in zip(scene.objects, meant.objects, strict=True):
        assert math.dist(domain.location(one), domain.location(other)) <= WITHIN[name]
        assert (domain.rotation_error(one, other) or 0.0) <= 0.11
        assert {k: v for k, v in one.values.items() if isinstance(v, str)} == {k: v for k, v in other.values.items() if isinstance(v, str)}
    stands, found = meant.header[0], domain.header_of(shot_by(camera, name))[0]
    assert math.dist(stands["loc"], found["loc"]) < 0.005
    assert stands["lens"] == pytest.approx(found["lens"], abs=0.011)
    assert meant.header[1:] == domain.header_of(shot_by(camera, name))[1:]


@given(st.floats(-math.pi, math.pi), st.floats(-180, 180))
def test_what_is_seen_does_not_depend_on_where_the_camera_stands_around_the_stage(azimuth: float, more: float) -> None:
    """A scene that is turned together with its camera looks the same."""
    domain, scene = staged("clevr"), FIRST["clevr"].scene
    written = dialect(domain, places="image")
    turn = math.radians(more)
    cos, sin = math.cos(turn), math.sin(turn)

    def around(place: tuple[float, ...]) -> tuple[float, float, float]:
        return (cos * place[0] - sin * place[1], sin * place[0] + cos * place[1], place[2])

    camera = Camera((9 * math.cos(azimuth), 9 * math.sin(azimuth), 5.0))
    turned = scene.with_objects(o.replaced(loc=around(o["loc"]), rotation=o["rotation"] + more) for o in scene.objects)
    turned = turned.with_objects(map(domain.canonical_object, turned.objects))
    first = written.written(scene, shot_by(camera, "clevr"))
    second = written.written(turned, shot_by(Camera(around(camera.location)), "clevr"))
    for one, other in zip(first.objects, second.objects, strict=True):
        assert one["loc"] == pytest.approx(other["loc"], abs=0.002)
        assert (domain.rotation_error(one, other) or 0.0) <= 0.21  # both are rounded to a tenth


@pytest.mark.parametrize("name", STAGED)
def test_the_mirror_image_of_a_mirror_image_is_the_image(name: str) -> None:
    written = dialect(staged(name), places="image", header=True)
    scene = written.written(FIRST[name].scene, FIRST[name].shot)
    once = written.mirrored(scene)
    if name == "assets" and once is None:  # one of its assets has no mirror image
        return
    assert once is not None
    twice = written.mirrored(once)
    assert twice is not None
    for one, other in zip(scene.objects, twice.objects, strict=True):
        assert one.values.get("loc") == other.values.get("loc")
        assert (staged(name).rotation_error(one, other) or 0.0) < 0.05
    camera, lamp, *_ = once.header
    assert [math.isnan(x) for x in camera["loc"]] == [True, True, False, False]
    assert all(math.isnan(x) for x in lamp["loc"])
    assert (camera["lens"], lamp["power"]) == (scene.header[0]["lens"], scene.header[1]["power"])


def test_a_mirrored_clevr_scene_is_seen_as_the_domain_has_it() -> None:
    """Under the standard camera, both ways to mirror give one scene."""
    domain, scene, shot = staged("clevr"), FIRST["clevr"].scene, staged("clevr").canonical_shot(320, 240, "draft")
    written = dialect(domain, places="image")
    flipped = written.mirrored(written.written(scene, shot))
    assert flipped is not None
    found = sorted(written.meant(flipped).objects, key=domain.order)
    for one, other in zip(found, domain.mirrored(scene).objects, strict=True):
        assert math.dist(one["loc"], other["loc"]) < 0.005
        assert (domain.rotation_error(one, other) or 0.0) <= 0.11


@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4), st.lists(st.floats(-1e6, 1e6), min_size=8, max_size=8))
def test_any_numbers_mean_some_scene(place: list[float], camera: list[float]) -> None:
    """A model may write what nothing looks like: above the horizon, from below the ground, without a lens."""
    domain = staged("clevr")
    written = dialect(domain, places="image", header=True)
    words = {"color": "red", "material": "metal", "size": "large", "shape": "cube"}
    obj = Object("add", {"loc": tuple(place[:3]), **words, "rotation": place[3]})
    stands = Object("camera", {"loc": tuple(camera[:4]), "target": tuple(camera[4:7]), "lens": camera[7]})
    lamp = Object("lamp", {"name": "key", "loc": tuple(camera[:3]), "power": camera[7]})
    meant = written.meant(Scene("clevr", (obj,), (stands, lamp)))
    domain.check_form(meant)
    assert meant.objects[0]["loc"][2] == 0.7


def test_domains_without_a_camera_see_nothing() -> None:
    with pytest.raises(UserError, match="seen by no camera"):
        dialect(get_domain("dot2d"), places="image")
    with pytest.raises(UserError, match="shot_in_code=true"):
        dialect(get_domain("dot2d"), header=True)
    with pytest.raises(UserError, match="does not say where its camera"):
        dialect(staged("clevr"), header=True).written(FIRST["clevr"].scene)
