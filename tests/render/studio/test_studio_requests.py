"""What the studio answers to requests: pictures, views, samples and files, and one message for what cannot be answered."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import png_chunk, png_of
from served import Served, wait_until

from datagen.code.grammar import parse_code
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.images.encoding import decode_image, encode_image
from datagen.shards.reader import Samples
from render.images import same_image
from render.picture import render_scene
from render.refine.refine import Progress, Refined, RefineSettings
from render.studio.limits import MOST_BODY, MOST_IMAGES, MOST_WAITING

DOT = "dot(loc=(0.2500, 0.7500))\n"
CLEVR = 'add(loc=(1.000, -0.500, 0.700), color="cyan", material="metal", size="large", shape="cube", rotation=37.2)\n'
BLUE = encode_image(np.full((30, 40, 3), (10, 20, 200), np.uint8))


def picture_of(line: dict[str, Any]) -> np.ndarray:
    return decode_image(base64.b64decode(line["png"]), "the picture")


def test_an_image_becomes_code_and_a_picture_that_is_scored_against_it(page: Served) -> None:
    picture = page.ask("/api/render", {"domain": "dot2d", "code": DOT, "qualities": ["draft"]}).lines[0]
    kept = page.ask("/api/image?name=dot.png", base64.b64decode(picture["png"])).json
    assert kept["frame"] == [320, 240]
    read = page.ask("/api/read", {"image": kept["image"], "domain": "dot2d"}).json
    assert read["code"] == DOT
    again, scored = page.ask("/api/render", {"domain": "dot2d", "code": read["code"], "image": kept["image"], "qualities": ["draft"]}).lines
    assert (picture_of(again) == picture_of(picture)).all()
    assert dict(scored["scores"])["PSNR"] == "100.0 dB"
    assert decode_image(page.ask(f"/api/image/{kept['image']}").body, "it").shape == (240, 320, 3)


def test_a_large_image_is_held_against_a_picture_of_its_shape(page: Served) -> None:
    kept = page.ask("/api/image", encode_image(np.zeros((900, 600, 3), np.uint8))).json
    width, height = kept["frame"]
    assert width * height <= 320 * 240
    assert width / height == pytest.approx(600 / 900, abs=0.01)


def test_a_sample_comes_with_its_truth_and_its_shot(page: Served, dots: Path) -> None:
    sample = page.ask("/api/sample", {"data": 0, "number": 1}).json
    assert sample["truth"] == Samples(dots).at(1).code
    assert sample["shot"] == Samples(dots).at(1).shot.to_json()
    right = page.ask("/api/look", {"domain": "dot2d", "code": sample["truth"], "truth": sample["truth"]}).json["scores"]
    assert dict(right)["location off by"] == "0.000 sides"
    wrong = page.ask("/api/look", {"domain": "dot2d", "code": "", "truth": sample["truth"]}).json["scores"]
    assert dict(wrong)["objects"] == "0 of 1 found, 1 missed"
    assert "there is no sample 999" in page.ask("/api/sample", {"data": 0, "number": 999}).json["problem"]


@pytest.mark.parametrize("domain", ["clevr", "so3", "pose6d", "assets", "dot2d"])
def test_a_random_scene_of_any_domain_can_be_looked_at(page: Served, domain: str) -> None:
    drawn = page.ask("/api/draw", {"domain": domain, "seed": 5}).json
    assert drawn == page.ask("/api/draw", {"domain": domain, "seed": 5}).json
    view = page.ask("/api/look", {"domain": domain, "code": drawn["code"], "shot": drawn["shot"]}).json
    scene = parse_code(drawn["code"], get_domain(domain))
    assert len(view["objects"]) == len(scene)
    if domain == "dot2d":
        x, y = scene.objects[0]["loc"]
        [[right, up]] = view["flat"]["steps"]
        assert up[1] == pytest.approx(-right[0])  # a side of the unit square, in pixels
        assert view["flat"]["centres"] == [[pytest.approx(160 + right[0] * (x - 0.5)), pytest.approx(120 - right[0] * (y - 0.5))]]
        return
    for obj, shown in zip(scene, view["objects"], strict=True):
        assert shown["pose"][12:15] == pytest.approx(get_domain(domain).location(obj))
        if shown["shape"] not in ("cube", "sphere", "cylinder"):
            mesh = page.ask(f"/api/mesh/{shown['shape']}").body
            triangles, groups = np.frombuffer(mesh, "<u4", 2)
            assert len(mesh) == 8 + 8 * groups + 2 * 36 * triangles
            corners = np.frombuffer(mesh, "<f4", 9 * triangles, 8 + 8 * int(groups))
            assert np.linalg.norm(corners.reshape(-1, 3), axis=1).max() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("domain", "moves", "turns", "scales"),
    [
        ("clevr", "loc", "rotation", None),
        ("assets", "loc", "rotation", "scale"),
        ("so3", None, "rotation", None),
        ("dot2d", "loc", None, None),
    ],
)
def test_a_domain_says_which_of_its_numbers_move_and_turn_an_object(
    page: Served, domain: str, moves: str | None, turns: str | None, scales: str | None
) -> None:
    [statement] = page.ask(f"/api/domain/{domain}").json["statements"]
    assert (statement["moves"], statement["turns"], statement["scales"]) == (moves, turns, scales)
    assert len(parse_code(statement["example"], get_domain(domain))) == 1


def test_an_object_is_added_where_there_is_room(page: Served) -> None:
    code = CLEVR
    for seed in range(4):
        code += page.ask("/api/add", {"domain": "clevr", "code": code, "seed": seed}).json["line"] + "\n"
    view = page.ask("/api/look", {"domain": "clevr", "code": code}).json
    assert len(view["objects"]) == 5
    assert view["warnings"] == []


def test_odd_scenes_are_shown_with_a_warning_at_their_object(page: Served) -> None:
    far = CLEVR.replace("1.000, -0.500", "9.000, -0.500")
    [warning, *_] = page.ask("/api/look", {"domain": "clevr", "code": CLEVR + far}).json["warnings"]
    assert warning["object"] == 1
    assert "outside [-3, 3]" in warning["text"]


@pytest.mark.parametrize(
    ("code", "line", "problem"),
    [
        ('add(loc=(1, 2, 0.7), colr="red")', 1, 'did you mean "color"'),
        (CLEVR + '__import__("os").system("rm -rf /")', 2, "no statement of the clevr domain"),
        ("(" * 50_000, 1, "found ("),
        ("\0", 1, "no place in graphics code"),
        ("#" * 150_000, 1, "at most 100,000 are read"),
        (CLEVR * 900, 900, ""),
        ("add(" * 30_000, 1, ""),
        (CLEVR.replace("1.000", "999999999999"), 1, "past what any number may be"),
    ],
)
def test_hostile_and_wrong_code_is_one_message_at_its_place(page: Served, code: str, line: int, problem: str) -> None:
    view = page.ask("/api/look", {"domain": "clevr", "code": code}).json
    if problem:
        assert view["error"]["line"] == line
        assert problem in view["error"]["problem"]
    told = page.ask("/api/render", {"domain": "clevr", "code": code, "qualities": ["draft"]}).lines if "error" in view else []
    assert all("problem" in line for line in told)


@pytest.mark.parametrize(
    ("path", "content", "problem"),
    [
        ("/api/look", b"{", "no JSON"),
        ("/api/look", b"[" * 100_000, "no JSON"),
        ("/api/look", {"domain": "clevr"}, "code"),
        ("/api/look", {"domain": "nowhere", "code": ""}, "there is no domain 'nowhere'"),
        ("/api/look", {"domain": "clevr", "code": "", "shot": {"width": 1}}, "shot"),
        ("/api/render", {"domain": "dot2d", "code": DOT, "qualities": ["draft", "draft", "draft"]}, "qualities"),
        ("/api/draw", {"domain": "dot2d", "seed": -1}, "seed"),
        ("/api/read", {"image": "0" * 32, "domain": "dot2d"}, "dropped this image"),
        ("/api/read", {"image": "../../etc/passwd", "domain": "dot2d"}, "dropped this image"),
        ("/api/sample", {"data": 7, "number": 0}, "there is no data set 7"),
        ("/api/take/blend", {"domain": "dot2d", "code": DOT}, "there is no blend file"),
        ("/api/take/exe", {"domain": "clevr", "code": CLEVR}, "there is no exe file"),
    ],
)
def test_a_request_that_cannot_be_answered_is_one_message(page: Served, path: str, content: Any, problem: str) -> None:
    answer = page.ask(path, content)
    assert answer.status == 400
    assert problem in answer.json["problem"]
    assert "\n" not in answer.json["problem"]


def test_a_frame_too_large_is_refused_before_anything_is_rendered(page: Served) -> None:
    shot = page.ask("/api/domain/dot2d").json["shot"] | {"width": 8000, "height": 8000}
    [said] = page.ask("/api/render", {"domain": "dot2d", "code": DOT, "shot": shot}).lines
    assert "at most 1,048,576 pixels" in said["problem"]


def test_an_image_bomb_is_one_message_and_the_next_image_is_read(page: Served) -> None:
    bomb = png_of(b"", 60_000, 60_000)
    answer = page.ask("/api/image?name=bomb.png", bomb)
    assert answer.status == 400
    assert "bomb.png" in answer.json["problem"] and "pixels" in answer.json["problem"]
    assert page.ask("/api/image", b"not an image").status == 400
    assert page.ask("/api/image", BLUE).status == 200


@pytest.mark.slow
def test_an_image_of_more_parts_than_are_decoded_in_this_process_is_refused(page: Served) -> None:
    many = b"\x89PNG\r\n\x1a\n" + png_chunk(b"tEXt", b"a\0b") * 200_000
    assert page.ask("/api/image", many).status == 400
    assert page.ask("/api/image", BLUE).status == 200


def test_only_so_many_images_are_kept(page: Served) -> None:
    first = page.ask("/api/image", BLUE).json["image"]
    for shade in range(MOST_IMAGES):
        page.ask("/api/image", encode_image(np.full((16, 16, 3), shade, np.uint8)))
    assert page.ask(f"/api/image/{first}").status == 404
    assert len(page.studio.images) == MOST_IMAGES


def test_two_pages_get_their_own_pictures(page: Served) -> None:
    codes = [f"dot(loc=({x:.4f}, 0.5000))\n" for x in (0.1, 0.9)]
    asked = [page.begin("/api/render", {"domain": "dot2d", "code": code}) for code in codes]
    pictures = []
    for connection in asked:
        response = connection.getresponse()
        pictures.append([picture_of(line) for line in map(json.loads, response.read().splitlines())])
        connection.close()
    for (draft, standard), left in zip(pictures, (True, False), strict=True):
        assert (draft == standard).all()
        columns = np.flatnonzero((draft[..., 1] == 0).any(0))
        assert (columns.max() < 160) == left


class Held:
    """Holds what is being rendered until it is let go."""

    def __init__(self, page: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.begun = threading.Event(), 0
        real = page.studio.blender.picture

        def picture(*asked: Any) -> Any:
            self.begun += 1
            self.go.wait(60)
            return real(*asked)

        monkeypatch.setattr(page.studio.blender, "picture", picture)


def test_the_jobs_of_a_closed_page_leave_the_queue(page: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(page, monkeypatch)
    request = {"domain": "dot2d", "code": DOT, "qualities": ["draft", "standard"]}
    lane = page.studio.lanes["draft"]
    first = page.begin("/api/render", request)
    wait_until(lambda: held.begun == 1)
    closed, open_one = page.begin("/api/render", request), page.begin("/api/render", request | {"qualities": ["draft"]})
    wait_until(lambda: lane.waiting == 2)
    closed.close()
    wait_until(lambda: lane.waiting == 1)
    first.close()  # its draft is being rendered: it is let finish, and its standard picture is not begun
    held.go.set()
    assert b'"quality":"draft"' in open_one.getresponse().read()
    wait_until(lambda: not lane.working)
    assert held.begun == 2
    assert not page.studio.lanes["finish"].working and page.studio.lanes["finish"].waiting == 0


def test_more_than_can_wait_is_refused_and_nothing_that_waits_is_lost(page: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(page, monkeypatch)
    request = {"domain": "dot2d", "code": DOT, "qualities": ["draft"]}
    lane = page.studio.lanes["draft"]
    asked = [page.begin("/api/render", request)]
    wait_until(lambda: held.begun == 1)
    asked += [page.begin("/api/render", request) for _ in range(MOST_WAITING)]
    wait_until(lambda: lane.waiting == MOST_WAITING)
    [said] = page.ask("/api/render", request).lines
    assert said["problem"] == f"the studio is busy: {MOST_WAITING} drafts are waiting already; try again in a moment"
    held.go.set()
    assert all(b'"quality":"draft"' in one.getresponse().read() for one in asked)


def test_a_refinement_tells_its_steps_and_stops_with_its_page(page: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()

    def refine(image: np.ndarray, scene: Any, shot: Any, settings: RefineSettings, _: Any, **callbacks: Any) -> Refined:
        assert image.shape == (shot.height, shot.width, 3)
        callbacks["on_progress"](Progress(0.5, 3, 0.25, scene))
        if settings.seconds > 100:
            wait_until(callbacks["stop"])
            stopped.set()
        return Refined(scene, shot, 0.125, 0.5, 3, 0.5, (0,))

    monkeypatch.setattr("render.studio.studio.refine_scene", refine)
    kept = page.ask("/api/image", BLUE).json["image"]
    request = {"domain": "dot2d", "code": DOT, "image": kept}
    step, end = page.ask("/api/refine", request | {"seconds": 5}).lines
    assert (step["renders"], step["code"]) == (3, DOT)
    assert (end["code"], end["error"], end["first_error"]) == (DOT, 0.125, 0.5)
    connection = page.begin("/api/refine", request | {"seconds": 200, "name": "one"})
    response = connection.getresponse()
    assert b'"renders":3' in response.readline()
    assert page.ask("/api/stop", {"name": "another"}).status == page.ask("/api/stop", {"name": "one"}).status == 200
    assert json.loads(response.readline())["error"] == 0.125  # stopped by its page, it tells the best that it has
    connection.close()
    stopped.clear()
    connection = page.begin("/api/refine", request | {"seconds": 200})
    response = connection.getresponse()
    assert b'"renders":3' in response.readline()
    response.close()
    connection.close()
    assert stopped.wait(60)
    wait_until(lambda: not page.studio.lanes["refine"].working)


def test_a_failure_in_the_middle_is_the_last_line(page: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "/tmp/x")

    monkeypatch.setattr(page.studio.blender, "picture", full)
    [said] = page.ask("/api/render", {"domain": "dot2d", "code": DOT}).lines
    assert said["problem"].startswith("there is no room on the disk (No space left on device): /tmp/x")

    def dead(*_: Any) -> None:
        raise UserError("2 times the Blender worker ended with status -9")

    monkeypatch.setattr(page.studio.blender, "picture", dead)
    [said] = page.ask("/api/render", {"domain": "dot2d", "code": DOT}).lines
    assert "ended with status -9" in said["problem"]


def test_a_body_longer_than_it_may_be_is_refused_whatever_it_states(page: Served) -> None:
    assert page.ask("/api/look", b" " * (MOST_BODY + 1)).status == 413
    connection = page.begin("/api/look", iter([b" " * 2**19] * 3))  # sent in chunks, without a length
    assert connection.getresponse().status == 413
    connection.close()


CAMERA = "camera(loc=(4.000, 5.000, 3.000), target=(0.000, 0.000, 0.500), lens=30.00)\n"
LAMP = 'lamp(name="key", loc=(5.000, 2.000, 4.000), power=90.00)\n'


def test_the_camera_and_the_lamps_that_code_states_are_those_of_its_view_and_its_picture(page: Served) -> None:
    asked = {"domain": "clevr", "code": CAMERA + LAMP + CLEVR}
    view = page.ask("/api/look", asked).json
    assert len(view["objects"]) == 1 and view["warnings"] == []
    assert view["stated"]["camera"]["location"] == [4.0, 5.0, 3.0]
    assert [(lamp["name"], lamp["power"]) for lamp in view["stated"]["lamps"]] == [("key", 90.0)]
    assert "stated" not in page.ask("/api/look", {"domain": "clevr", "code": CLEVR}).json
    shot = {**get_domain("clevr").canonical_shot(48, 36, "draft").to_json()}
    pictures = [
        picture_of(page.ask("/api/render", {"domain": "clevr", "code": code, "shot": shot, "qualities": ["draft"]}).lines[0])
        for code in (asked["code"], CLEVR)
    ]
    assert pictures[0].shape == pictures[1].shape == (36, 48, 3)
    stated = render_scene(asked["code"], width=48, height=36, quality="draft").image
    assert same_image(pictures[0], stated)
    assert not same_image(pictures[0], pictures[1])
    under = page.ask("/api/look", {"domain": "clevr", "code": CAMERA.replace("3.000)", "-3.000)") + CLEVR}).json
    assert under["error"]["problem"] == "camera: loc is -3 m above the ground; at least 0.1 m are needed"


def test_a_domain_says_what_may_stand_before_its_objects(page: Served) -> None:
    described = page.ask("/api/domain/clevr").json
    assert [one["name"] for one in described["header"]] == ["camera", "lamp"]
    assert described["header"][0]["example"].startswith("camera(loc=(7.481, -6.508, 5.344)")
    assert described["header"][1]["arguments"][0] == {"name": "name", "words": ["key", "fill", "back"]}
    assert [one["name"] for one in described["statements"]] == ["add"]
    assert page.ask("/api/domain/dot2d").json["header"] == []
