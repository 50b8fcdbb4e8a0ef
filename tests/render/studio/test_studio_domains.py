"""Domains that the studio does not bring along: people's own textures, and a package's kind of scene."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from places import ROOT
from served import OneCode, Served, served

from datagen.assets.own_textures import own_textures
from datagen.domains.own_assets import keep_domain
from datagen.domains.plugins import outside_domain
from datagen.images.encoding import decode_image
from render.studio.studio import Studio

SOFA = 'add(loc=(0.000, 0.000, 1.000), scale=1.000, texture="{}", shape="sofa-1", rotation=(0.00, 0.00, 0.00))\n'


def test_patterns_of_assets_are_stated_for_the_view(page: Served) -> None:
    view = page.ask("/api/look", {"domain": "assets", "code": SOFA.format("checks-1") + SOFA.format("own")}).json
    [first, *others], plain = (one["surfaces"] for one in view["objects"])
    assert first["pattern"]["name"] == "checks"
    assert first["pattern"]["first"] != first["pattern"]["second"]
    assert np.mean([first["pattern"]["first"], first["pattern"]["second"]], axis=0) == pytest.approx(first["color"])
    assert others == plain[1:]  # what is not the body keeps its colours
    assert all(one["pattern"] is None for one in plain)


def test_own_images_are_worn_in_the_view(page: Served, tmp_path: Path) -> None:
    (tmp_path / "paper").mkdir()
    red = Image.new("RGB", (16, 16), (255, 0, 0))
    red.save(tmp_path / "paper" / "red.png")
    textures = own_textures(tmp_path)
    [word] = textures.patterns
    request = {"domain": keep_domain(None, textures), "code": SOFA.format(word)}
    [[surface, *_]] = (one["surfaces"] for one in page.ask("/api/look", request).json["objects"])
    assert surface["color"] == [1.0, 0.0, 0.0]
    worn = decode_image(page.ask(f"/api/texture/{surface['pattern']['image']}").body, "it")
    assert (worn == (255, 0, 0)).all()
    assert page.ask("/api/texture/nothing").status == 404


@pytest.fixture
def tetra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the domain of `examples/own_domain`, as if its package were installed."""
    site = tmp_path / "site"
    with monkeypatch.context() as context:
        context.setattr(sys, "argv", ["own_domain.py", str(site)])
        runpy.run_path(str(ROOT / "examples" / "own_domain" / "own_domain.py"))
    info = site / "tetra-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tetra\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[igllm.domains]\ntetra = tetra:TETRA\n")
    monkeypatch.syspath_prepend(site)
    outside_domain.cache_clear()
    return "tetra"


def test_a_domain_of_a_package_is_drawn_looked_at_and_added_to(tetra: str) -> None:
    with served(Studio(OneCode(dot2d=""), [], "dot2d")) as studio:
        assert tetra in studio.ask("/api/studio").json["domains"]
        facts = studio.ask(f"/api/domain/{tetra}").json
        [statement] = facts["statements"]
        assert (statement["name"], statement["moves"], statement["turns"], facts["ground"]) == ("tetra", "loc", "rotation", True)
        code = studio.ask("/api/draw", {"domain": tetra, "seed": 3}).json["code"]
        code += studio.ask("/api/add", {"domain": tetra, "code": code, "seed": 4}).json["line"]
        view = studio.ask("/api/look", {"domain": tetra, "code": code}).json
        assert len(view["objects"]) == code.count("tetra(")
        assert {len(studio.ask(f"/api/mesh/{one['shape']}").body) for one in view["objects"]} == {8 + 8 + 4 * 2 * 36}  # four triangles
        words = studio.ask("/api/read", {"image": "0" * 32, "domain": tetra}).json["problem"]
        assert "dropped this image" in words
