"""Tables of the documentation that restate code agree with the code."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from documented import DOCUMENT, document
from markdown import table, words
from places import DOCS, ROOT

from datagen.code.statements import Choice
from datagen.domains.registry import DOMAINS, get_domain
from igllm import main
from model.preset import NAMES, get_preset
from render.evals.catalogue import EVALUATIONS

README = (ROOT / "README.md").read_text()


def help_of(capsys: pytest.CaptureFixture[str], *verb: str) -> str:
    with pytest.raises(SystemExit):
        main([*verb, "--help"])
    return capsys.readouterr().out


def test_every_kind_of_file_is_documented_field_by_field() -> None:
    assert DOCUMENT.read_text() == document(), (
        "docs/files.md differs from the declarations; write it anew: python tests/support/documented.py"
    )


def test_limits_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| .+ \| ([\d,]+) \| `([\w.]+)\.(\w+)` \|$", (DOCS / "security.md").read_text(), re.MULTILINE)
    limits = {f"{module}.{name}": int(number.replace(",", "")) for number, module, name in rows}
    assert len(rows) > 20
    assert limits == {f"{module}.{name}": getattr(importlib.import_module(module), name) for _, module, name in rows}


def test_every_verb_is_in_the_readme_with_flags_that_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [words(row[0])[0].split() for row in table(README, "verb", "what it does")]
    verbs = re.findall(r"^ {4}(\w+)(?: |$)", help_of(capsys), re.MULTILINE)
    assert list(dict.fromkeys(row[1] for row in rows)) == verbs
    for _, verb, *rest in rows:
        flags = {word.strip("[]") for word in rest if word.startswith(("--", "[--"))}
        known = set(re.findall(r"--[\w-]+", help_of(capsys, verb)))
        assert flags <= known, verb


def test_every_domain_and_evaluation_is_in_the_readme() -> None:
    [evaluations] = [row[1] for row in table(README, "verb", "what it does") if row[0].startswith("`igllm eval")]
    assert words(evaluations) == list(EVALUATIONS)
    [domains] = re.findall(r"^Domains are (.*?\[docs/data\.md\])", README, re.MULTILINE | re.DOTALL)
    assert set(words(domains)) == DOMAINS.keys()


def test_the_table_of_presets_is_what_they_are() -> None:
    text = (DOCS / "training.md").read_text()
    rows = {row[0]: row[1:] for row in table(text, "", "`tiny`", "`small`", "`paper`")}
    presets = {name: dict(_settings(get_preset(name).to_json())) for name in ("tiny", "small", "paper")}
    assert {*presets, "derender", "view"} == set(NAMES)
    assert rows["learning rate: language model, projector, numeric head"] == [_rates(preset) for preset in presets.values()]
    assert rows["samples a step on one device × steps"] == [_samples(preset) for preset in presets.values()]
    assert rows["bfloat16"] == ["yes" if preset["bf16"] else "no" for preset in presets.values()]


def _settings(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The name and value of each setting of a preset, whatever its group."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _settings(value)
        else:
            yield name, value


def _rates(preset: Mapping[str, Any]) -> str:
    rates = (preset[name] for name in ("learning_rate", "projector_learning_rate", "head_learning_rate"))
    return ", ".join(f"{rate:.0e}".replace("e-0", "e-") for rate in rates)


def _samples(preset: Mapping[str, Any]) -> str:
    batch, times = preset["batch_size"], preset["accumulation"]
    batches = f" ({times} batches of {batch})" if times > 1 else ""
    return f"{batch * times}{batches} × {preset['steps']:,}"


def test_the_table_of_domains_is_what_they_declare() -> None:
    text = (DOCS / "data.md").read_text()
    names = ["clevr", "dot2d", "so3", "pose6d"]
    rows = {row[0]: row[1:] for row in table(text, "", *(f"`{name}`" for name in names))}
    for place, domain in enumerate(map(get_domain, names)):
        assert words(rows["splits"][place]) == list(domain.splits)
        assert rows["lengths"][place].startswith({"m": "metres"}.get(domain.unit, domain.unit))
        thresholds = ", ".join("∞" if distance == float("inf") else f"{distance:g}" for distance in domain.ap_thresholds)
        assert rows["AP at"][place] in (f"{thresholds} {domain.unit}", "none: there is one place" if not thresholds else "as `clevr`")
        code = words(rows["code"][place])[0]
        assert code.partition("(")[0] == domain.statements[0].name


def test_the_table_of_clevrs_code_is_its_declaration() -> None:
    rows = table((DOCS / "data.md").read_text(), "argument", "values")
    [statement] = get_domain("clevr").statements
    assert [words(row[0])[0] for row in rows] == [argument.name for argument in statement.arguments]
    for row, argument in zip(rows, statement.arguments, strict=True):
        if isinstance(argument, Choice):
            assert tuple(row[1].split()) == argument.words


def test_names_in_the_architecture_are_there() -> None:
    text = (DOCS / "architecture.md").read_text()
    names = [name for row in table(text, "for", "look at") for name in words(row[1]) if not name.startswith("_")]
    assert len(names) > 20
    for name in names:
        pkgutil.resolve_name(name)
    paths = re.findall(r"`((?:datagen|model|render|blender_scenes|tests|benchmarks|docs)/[\w./]+)`", text)
    assert len(paths) > 30
    for path in paths:
        assert (ROOT / path).exists(), path
