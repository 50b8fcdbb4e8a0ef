"""Settings: each has one range, wherever a value comes from, and a wrong value is refused in one line that names the setting."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settings_table import DOCUMENT, settings_table

import igllm
from datagen.errors import UserError
from model.preset import GROUPS, NAMES, Preset, get_preset, settings
from model.setting import declared

NUMERIC = [each.name for each in settings().values() if each.kind in (int, float)]
EXTREME = [math.nan, math.inf, -math.inf, -1, -0.5, 0, 10**30, -(10**30), 1e308, 10**400, 10**5000]
WRONG = [None, "a word", True, [1], {"a": 1}, 1.5, b"bytes", 2 + 1j, object()]
ANY = st.one_of(st.sampled_from(EXTREME + WRONG), st.floats(), st.integers(), st.text(max_size=5), st.booleans(), st.none())


def refused(**changes: Any) -> str | None:
    """The message that refuses these settings, None if they are accepted. Other errors fail the test."""
    try:
        Preset().replaced(**changes)
    except UserError as error:
        return str(error)
    return None


@given(name=st.sampled_from(list(settings())), value=ANY)
def test_a_setting_is_accepted_or_refused_by_its_name(name: str, value: Any) -> None:
    message = refused(**{name: value})
    if message is None:
        kind = settings()[name].kind
        choices = get_args(kind)
        assert value in choices if choices else isinstance(value, (int, float) if kind is float else kind)
        assert not isinstance(value, float) or math.isfinite(value)
    else:
        assert name in message
        assert len(message) < 500
        assert "\n" not in message


@pytest.mark.parametrize("name", NUMERIC)
def test_every_number_has_a_range(name: str) -> None:
    for value in (math.nan, math.inf, -math.inf, 10**30, -(10**30), 10**5000):
        message = refused(**{name: value})
        assert message is not None
        assert message.startswith(f"{name} is ")
        assert " at least " in message or " above " in message
    for text in ("nan", "inf", "-inf", "1e400", "9" * 5000, "", "x", "0x1"):
        with pytest.raises(UserError, match=name):
            Preset().changed([f"{name}={text}"])


@given(name=st.sampled_from(NUMERIC), number=st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**12), 10**12)))
def test_python_the_command_line_and_files_agree(tmp_path_factory: pytest.TempPathFactory, name: str, number: float) -> None:
    number = settings()[name].kind(number)
    file = tmp_path_factory.getbasetemp() / "settings.toml"
    file.write_text(f"{name} = {number!r}\n")
    results = []
    for load in (
        lambda: Preset().replaced(**{name: number}),
        lambda: Preset().changed([f"{name}={number!r}"]),
        lambda: get_preset(str(file)),
    ):
        try:
            results.append(load())
        except UserError as error:
            results.append(str(error).removeprefix(f"{file}: "))
    assert results[0] == results[1] == results[2]


def test_a_setting_is_stated_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "run"), "--set", "steps=1"]
    assert igllm.main([*words, "--set", "optimisation.steps=2"]) == 2
    assert "--set steps: is given twice" in capsys.readouterr().err


@pytest.mark.parametrize("preset", NAMES)
def test_the_presets_of_the_package_are_in_range(preset: str) -> None:
    assert get_preset(preset).to_json().keys() == {"vision", "text", *settings()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lerning_rate = 1e-3", "no setting 'lerning_rate'; did you mean \"learning_rate\""),
        ("visoin = {}", 'did you mean "vision"'),
        ("vision = 5", "vision is 5: a table"),
        ("[text]\nwidth = nan", r"\[text\]: width is nan: "),
        ("[text]\nmade = 2020-01-01", r"\[text\]: made is datetime"),
        ("[vision]\nsizes = [1, [inf]]", r"\[vision\]: sizes is "),
        ("steps = [", "not a readable preset"),
        ("x = " + "[" * 5000, "not a readable preset"),
        ("steps = '5'", "steps is 5: a whole number at least 1 and at most 1,000,000,000 is expected"),
        ("[optimisation]\nsteps = '5'", "steps is 5: a whole number at least 1"),
        ("[optimisation]\nlerning_rate = 1", "no setting 'optimisation.lerning_rate'; did you mean \"learning_rate\""),
        ("[run]\nsteps = 5", r"\[run\]: there is no setting 'run.steps'; did you mean \"optimisation.steps\""),
        ("[optimization]\nsteps = 5", 'did you mean "optimisation"'),
        ("run = 5", "run is 5: a table of settings is expected"),
        ("[[run]]\nlog_steps = 5", "run is .*: a table of settings is expected"),
        ("seed = 3\n[optimisation]\nsteps = 5", r"seed stands at the top and others in \[optimisation\]: move it to \[optimisation\]"),
        ("steps = 3\n[optimisation]\nsteps = 5", r"steps stands at the top and others in \[optimisation\]"),
        ("[optimisation]\nsteps = 3\nsteps = 5", "not a readable preset"),
    ],
)
def test_files_with_mistakes_are_named_with_them(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UserError, match=rf"mine\.toml: .*{message}"):
        get_preset(str(tmp_path / "mine.toml"))


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbfsteps = 7\n")
    assert get_preset(str(tmp_path / "mine.toml")).optimisation.steps == 7


def test_every_setting_is_documented() -> None:
    assert settings_table() in DOCUMENT.read_text(), "write it anew: python tests/support/settings_table.py"


def test_settings_are_named_alone_or_with_their_group() -> None:
    """No two groups share a setting's name, so it is enough alone."""
    assert len(settings()) == sum(len(declared(kind)) for kind in (Preset, *GROUPS.values()))
    for each in settings().values():
        value = f"{each.name}={Preset().to_json()[each.name]}"
        assert Preset().changed([value]) == Preset().changed([f"{each.group}.{value}".removeprefix(".")]) == Preset()
    changed = Preset().changed(["run.loaders=3", "steps=7", "head.numbers=char"])
    assert (changed.run.loaders, changed.optimisation.steps, changed.head.numbers) == (3, 7, "char")


@pytest.mark.parametrize("preset", NAMES)
def test_a_file_without_groups_is_read_as_one_with_them(preset: str, tmp_path: Path) -> None:
    """Files of igllm 0.1 have no groups."""
    flat = get_preset(preset).to_json()
    tables = "".join(f"[{name}]\n{toml_lines(flat.pop(name))}" for name in ("vision", "text"))
    (tmp_path / "old.toml").write_text(toml_lines(flat) + tables)
    assert get_preset(str(tmp_path / "old.toml")) == get_preset(preset)


def toml_lines(table: dict[str, Any]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())


@pytest.mark.parametrize("verb", ["train", "pretrain", "align"])
@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("learning_rate=inf", "learning_rate is inf: a number above 0 and at most 10 is expected"),
        ("save_seconds=inf", "save_seconds is inf"),
        ("seed=-1", "seed is -1: a whole number at least 0 and at most 4,294,967,295 is expected"),
        ("lerning_rate=1", 'did you mean "learning_rate"?'),
        ("lora_rank=4", "lora_rank without lora_alpha"),
        ("steps", "is not KEY=VALUE"),
        ("run.steps=5", 'did you mean "optimisation.steps"?'),
        ("optimisation.steps=0", "steps is 0: a whole number at least 1"),
    ],
)
def test_mistakes_are_told_before_anything_is_looked_at(
    verb: str, assignment: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even the data need exist."""
    words = [verb, "--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "run"), "--set", assignment]
    assert igllm.main(words) == 2
    output = capsys.readouterr().err
    assert message in output
    assert output.count("\n") == 1
    assert not list(tmp_path.iterdir())
