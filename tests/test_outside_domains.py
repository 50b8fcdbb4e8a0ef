"""Domains of installed packages: found by name, kept apart from built-in ones, and reported with their package if they are broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from outside_packages import Site

from datagen.doctor import check_domains
from datagen.domains.registry import DOMAINS, domain_names, get_domain
from datagen.errors import UserError
from datagen.io.files import write_json
from datagen.shards.reader import Samples
from igllm import main
from model.load import check_config, find_model

DOT = """from dataclasses import replace

from datagen.domains.dot2d import DOT2D

MINE = replace(DOT2D, name={name!r})
"""
LACKING = """from datagen.domains.staged import StagedDomain


class Mine(StagedDomain):
    location = solid = sample_scene = None


MINE = Mine(name="mine")
"""
UNBUILT = """from dataclasses import replace

from datagen.domains.clevr import CLEVR

MINE = replace(CLEVR, name="mine", builder="mine_builder:MineBuilder")
"""
FRAME = ("--width", "48", "--height", "36", "--quality", "draft")


def generate(domain: str, capsys: pytest.CaptureFixture[str], num: int = 2) -> tuple[int, str]:
    """Generate `num` samples into ``data``. Returns the status and standard error."""
    status = main(["generate", "--domain", domain, "--num", str(num), "--out", "data", "--workers", "1", *FRAME])
    return status, capsys.readouterr().err


def test_a_domain_of_a_package_is_found_by_its_name(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.bring("dots", {"found": "found_dots:MINE"}, found_dots=DOT.format(name="found"))
    assert domain_names() == [*DOMAINS, "found"]
    assert generate("found", capsys)[0] == 0
    assert Samples(Path("data")).at(0).domain is get_domain("found")
    with pytest.raises(SystemExit):
        main(["generate", "--help"])
    assert "found (of the package dots 0.1)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("value", "text", "message"),
    [
        ("mine_gone:MINE", None, "ModuleNotFoundError: No module named 'mine_gone'"),
        ("mine_raising:MINE", "import math\n\nmath.sqrt(-1)\n", "mine_raising:MINE: ValueError"),
        ("mine_raising_too:MINE", "\n\nraise OSError('no such luck')\n", "mine_raising_too.py, line 3)"),
        ("mine_garbled:MINE", "class Mine:\n    name =\n", "mine_garbled.py, line 2"),
        ("mine_other:MINE", "Yours = 1\n", "has no attribute 'MINE'"),
        ("mine_number:MINE", "MINE = 1\n", "is no datagen.domains.staged.StagedDomain or"),
        ("mine_class:MINE", "from datagen.domains.dot2d import Dot2d as MINE\n", "is a class: the entry point must name the domain"),
        ("mine_abstract:MINE", "from datagen.domains.staged import StagedDomain\n\nMINE = StagedDomain()\n", "abstract class StagedDomain"),
        ("mine_lacking:MINE", LACKING, "'statements', 'max_objects', 'splits', 'drawn_numbers', 'builder', 'camera', and 'lamps'"),
        ("mine_named:MINE", DOT.format(name="yours"), "calls itself 'yours'"),
        ("mine_clash:MINE", DOT.format(name="dot2d"), "calls itself 'dot2d'"),
    ],
)
def test_a_broken_domain_is_named_and_leaves_the_others_alone(
    value: str, text: str | None, message: str, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.bring("breakage", {"mine": value}, **({value.partition(":")[0]: text} if text else {}))
    status, error = generate("mine", capsys)
    assert status == 2
    assert "the domain 'mine' of the package breakage 0.1" in error
    assert message in error
    assert "Traceback" not in error
    assert error.count("\n") == 1
    assert not Path("data").exists()
    assert [check.status for check in check_domains()] == ["problem"]
    assert generate("dot2d", capsys)[0] == 0


def test_names_are_taken_once(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.bring("one", {"twice": "nowhere:MINE", "clevr": "nowhere:MINE"})
    site.bring("two", {"twice": "nowhere:MINE"})
    status, error = generate("twice", capsys)
    assert status == 2
    assert "several packages bring a domain 'twice': one 0.1, two 0.1" in error
    assert get_domain("clevr").__module__ == "datagen.domains.clevr"
    assert domain_names() == [*DOMAINS, "twice"]
    checks = {check.detail.split(",")[0]: check for check in check_domains()}
    assert (checks["clevr"].status, "package one 0.1" in checks["clevr"].detail) == ("warning", True)


def test_an_unknown_domain_gets_the_names_of_all(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.bring("breakage", {"mine": "nowhere:MINE"})
    status, error = generate("yours", capsys)
    assert (status, f"no domain 'yours'; choose one of {', '.join(DOMAINS)}, mine, or install" in error) == (2, True)


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (None, "ModuleNotFoundError: No module named 'mine_builder'"),
        ("import bpy\n\nbpy.no.such.thing\n", "mine_builder.py, line 3)"),
    ],
)
def test_a_builder_that_cannot_be_imported_ends_the_run(
    builder: str | None, message: str, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.bring("unbuilt", {"mine": "mine_unbuilt:MINE"}, mine_unbuilt=UNBUILT, **({"mine_builder": builder} if builder else {}))
    status, error = generate("mine", capsys)
    assert status == 2
    assert "the builder of the mine domain cannot be imported: mine_builder:MineBuilder" in error
    assert message in error
    assert "Traceback" not in error


def test_data_and_models_name_domains_but_no_code(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A file beside the data is not run, in whichever way a data set or a model names it as its domain."""
    assert generate("dot2d", capsys)[0] == 0
    Path("evil.py").write_text("raise SystemExit('it was run')\n")
    for folder in ("loose", "model"):
        Path(folder).mkdir()
    for name in ("evil", "evil:Evil", "evil.py", "./evil.py:Evil"):
        sample = Samples(Path("data")).at(0)
        record = sample.record | {"domain": name, "scene": sample.record["scene"] | {"domain": name}}
        files = sample.files() | {".json": json.dumps(record).encode()}
        for suffix, content in files.items():
            (Path("loose") / f"{sample.key}{suffix}").write_bytes(content)
        assert main(["inspect", "loose", "--out", "page"]) == 2
        assert f"no domain {name!r}" in capsys.readouterr().err
        write_json(Path("model") / "config.json", json.loads((find_model(None) / "config.json").read_text()) | {"domain": name})
        with pytest.raises(UserError, match="model: this model's domain cannot be had: there is no domain"):
            check_config(Path("model"))
