"""Arguments that are refused before work begins, and files, names and machines that igllm must cope with, such as one without a home."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from inspect import cleandoc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import DOCS, ROOT

import igllm
from datagen.code.predictions import Prediction, read_predictions, write_predictions
from datagen.commandline import declared
from datagen.domains.registry import get_domain
from datagen.domains.split_files import load_split
from datagen.errors import UserError
from datagen.flags import Flag, FlagsOf
from datagen.io.files import check_file, decode_text, read_json, read_jsonl
from datagen.samples.cameras import load_cameras
from datagen.shards.reader import Samples
from igllm import main
from model.preset import get_preset
from render.rerender import read_codes

DOTS = ("generate", "--domain", "dot2d", "--width", "32", "--height", "32")


def status_of(*arguments: str) -> int:
    try:
        return main(arguments)
    except SystemExit as stop:  # argparse
        return int(stop.code or 0)


@cache
def every_option() -> dict[str, list[argparse.Action]]:
    """The options of each verb, by its name."""
    [choice] = (action for action in igllm._parser()._actions if isinstance(action, argparse._SubParsersAction))
    for parser in choice.choices.values():
        parser.fill()
    return {name: [action for action in parser._actions if action.option_strings] for name, parser in choice.choices.items()}


def verbs() -> dict[str, list[argparse.Action]]:
    """The options of each verb that take a value, by its name."""
    return {name: [action for action in actions if action.nargs != 0] for name, actions in every_option().items()}


OPTIONS = [(verb, action.option_strings[-1]) for verb, actions in verbs().items() for action in actions]
WRITERS = [verb for verb, option in OPTIONS if option == "--out"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with a file, a link to nowhere, a link to itself and a pipe; the test must leave it as it is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(path.name for path in tmp_path.iterdir())
    yield tmp_path
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "file").read_text() == "mine"


def needed(verb: str, *given: str) -> list[str]:
    """The arguments of a call of a verb with a value for each required option, except the options `given`."""
    actions = [action for action in verbs()[verb] if action.required and action.option_strings[-1] not in given]
    values = {"--num": "2", "--format": "coco" if verb == "export" else "clevr"}
    name = ["so3"] if verb == "eval" else []
    images = ["--images", "file"] if verb == "predict" else []
    return [verb, *name, *images, *(word for a in actions for word in (a.option_strings[-1], values.get(a.option_strings[-1], "d")))]


@pytest.mark.parametrize("verb", WRITERS)
@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("/", "the root of all folders|a folder is in the place of the file"),
        ("file/x", "file is a file"),
        ("file/x/y", "file is a file"),
        ("link", "a link to nowhere, which is not there"),
        ("link/x/y", "a link to nowhere, which is not there"),
        ("loop", "a link to loop, which is not there"),
        ("pipe", "in the place of the (file|folder)"),
        ("n" * 300, "too long"),
        ("a\nb", r"'a\\nb'"),
        ("a\0b", r"'a\\x00b'"),
        ("", "an empty value"),
        (" ", "an empty value"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_first(
    verb: str, place: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(*needed(verb, "--out"), "--out", place) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert len(error.splitlines()) == 1
    assert error.startswith(f"igllm {verb}: --out: ")


@pytest.mark.parametrize("verb", ["generate", "import", "render"])
@pytest.mark.parametrize("place", ["x.tar", "x.tar/", "a/b.tar", "memory://x.tar"])
def test_a_folder_that_readers_would_take_for_a_tar_is_refused_first(
    verb: str, place: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(*needed(verb, "--out"), "--out", place) == 2
    assert "take a name that ends in .tar for one tar" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["s3:/bucket/set", "S3://bucket/set"])
def test_a_url_that_is_not_quite_one_makes_no_folder(place: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(*DOTS, "--num", "1", "--out", place) == 2
    assert "a URL begins in small letters, with two slashes" in capsys.readouterr().err


def test_the_current_folder_is_a_place_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder may be named in any way, and braces have no special meaning in a folder's name."""
    for number, place in enumerate([".", "./", "../here", "{a,b}{0..3}", "missing/parents/x", "with a space"], 1):
        (tmp_path / f"{number}" / "here").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / f"{number}" / "here")
        for num in (number, number + 1):  # the second call continues the data set
            assert status_of(*DOTS, "--num", str(num), "--out", place) == 0
        assert len(Samples(Path(place))) == number + 1
        assert status_of("verify", place) == 0
        assert status_of("export", "--data", place, "--format", "coco", "--out", f"{place}/coco") == 0


@pytest.mark.parametrize(("verb", "option"), OPTIONS)
def test_no_option_means_something_else_where_its_value_is_empty(
    verb: str, option: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unset variable of a script must not select everything, the current folder, or nothing."""
    for arguments in ((option, ""), (f"{option}=",)):
        assert status_of(*needed(verb, option), *arguments) == 2
        assert re.fullmatch(rf"igllm {verb}: (--\S+/)?{option}: an empty value; .*\n", capsys.readouterr().err)


@pytest.mark.parametrize(("verb", "option"), [("", ""), *OPTIONS])
def test_what_was_meant_is_asked(verb: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    if not verb:
        for name in verbs():
            assert status_of(name[:2] + "x" + name[2:]) == 2
            assert f'did you mean "{name}"?' in capsys.readouterr().err
        return
    wrong = option[:3] + option[2:]
    assert status_of(verb, wrong, "1") == 2
    assert f'igllm {verb}: there is no option {wrong}; did you mean "{option}"?' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [(["--domain", "clver"], "clevr"), (["--domain", "dot2d", "--split", "chekerboard"], "checkerboard"), (["--quality", "drft"], "draft")],
)
def test_a_word_that_was_meant_is_asked(arguments: list[str], meant: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("generate", "--num", "1", "--out", "x", *arguments) == 2
    assert f'did you mean "{meant}"?' in capsys.readouterr().err


# Help and documentation


def fields_of(kind: type) -> Iterator[tuple[str, Flag]]:
    """The name and flag of each field that has a flag, of a dataclass and of those nested in it."""
    for name, flag, _, _ in declared(kind):
        if isinstance(flag, FlagsOf):
            yield from fields_of(flag.kind)
        else:
            yield name, flag


@pytest.mark.parametrize("verb", verbs())
def test_every_field_of_a_verb_is_a_flag_with_a_sentence(verb: str) -> None:
    kind = igllm._verbs()[verb]
    assert {name for name, *_ in declared(kind)} == {field.name for field in dataclasses.fields(kind)}
    assert all(flag.help.strip() for _, flag in fields_of(kind))
    summary, blank, *rest = cleandoc(kind.__doc__ or "").splitlines()
    assert summary.endswith(".")
    assert (blank, bool(rest)) == ("", True)


def test_every_flag_that_documents_name_exists() -> None:
    calls = re.compile(rf"igllm ({'|'.join(verbs())})\b((?:[^`\n\\]|\\\n)*)")  # a backslash continues a call on the next line
    named = {
        (verb, flag)
        for page in (ROOT / "README.md", *DOCS.rglob("*.md"))
        for verb, rest in calls.findall(page.read_text())
        for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", rest.partition("#")[0].partition("|")[0])
    }
    assert len(named) > 50
    known = {(verb, action.option_strings[-1]) for verb, actions in every_option().items() for action in actions}
    assert not named - known


# Texts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_texts_are_read_as_editors_save_them(encoding: str, end: str, tmp_path: Path) -> None:
    def saved(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_bytes(text.replace("\n", end).encode(encoding))
        return path

    code = 'add(loc=(0, 0, 0.7),\n  shape="cube")  # größer\n'
    assert read_codes(saved("scene.py", code)) == {"scene": code}
    assert read_json(saved("a.json", '{"é":\n 1}\n')) == {"é": 1}
    assert read_jsonl(saved("a.jsonl", '{"é": 1}\n\n{"b": "\N{LINE SEPARATOR}"}\n')) == [{"é": 1}, {"b": "\N{LINE SEPARATOR}"}]
    assert load_cameras(saved("cameras.json", '{"front":\n {"location": [0, -11, 3]}}\n'))[0].location == (0, -11, 3)
    assert load_split(str(saved("mine.json", '{\n"objects": [1, 1]}\n')), get_domain("dot2d")).objects == (1, 1)
    assert get_preset(str(saved("mine.toml", "steps = 7\n\n[vision]\n"))).optimisation.steps == 7


@given(st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"])), st.text(max_size=9))
def test_what_is_no_text_is_told_with_its_place(before: str, after: str) -> None:
    before = before.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    rows = before.split("\n")
    with pytest.raises(UserError) as caught:
        decode_text(before.encode() + b"\xe9 " + after.encode(errors="replace"), "a.py")
    assert str(caught.value).startswith(f"a.py: line {len(rows)}, column {len(rows[-1]) + 1}: the byte 0xE9 ")


# Names and machines


@pytest.mark.usefixtures("without_plots")
def test_names_that_are_no_utf8_are_taken_by_every_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"d\xe9")
    for arguments in (
        (*DOTS, "--num", "2", "--out", name),
        ("verify", name),
        ("inspect", name),
        ("export", "--data", name, "--format", "hf", "--out", name + "f"),
        ("merge", name + "m", "--from", name),
    ):
        assert status_of(*arguments) == 0, arguments
        assert "d\\udce9" in capsys.readouterr().out
    assert "d\\udce9: what is in it" in (tmp_path / name / "inspect" / "index.html").read_text()
    for verb in ("train", "pretrain", "align", "eval", "demo"):
        assert status_of(*needed(verb, "--out"), "--out", name) == 2
        assert "is no UTF-8 text" in capsys.readouterr().err


@pytest.mark.parametrize("home", ["none", "cannot be written", "no cache"])
def test_nothing_ends_for_want_of_a_cache(home: str, tmp_path: Path) -> None:
    """Without a home or cache that can be written, verbs work, print one note, and make no folder called ``~``."""
    (tmp_path / "file").touch()
    (tmp_path / "tmp").mkdir()
    settings = {
        "none": {"HOME": "~"},
        "cannot be written": {"HOME": str(tmp_path / "file")},
        "no cache": {"XDG_CACHE_HOME": str(tmp_path / "file")},
    }[home]
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR")}
    frame = [*DOTS, "--num", "2", "--out", "d"]
    look = [["inspect", "d"]] if home == "no cache" else []
    calls = [frame, ["verify", "d"], ["export", "--data", "d", "--format", "coco", "--out", "c"], *look]
    program = f"import igllm; assert [igllm.main(call) for call in {calls}] == [0] * {len(calls)}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env={"HOME": os.path.expanduser("~"), **kept, **settings, "TMPDIR": str(tmp_path / "tmp")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("note: ") == 1
    assert f"{tmp_path / 'tmp'}/igllm-" in done.stderr
    assert "Matplotlib" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "d", "file", "tmp"]
    assert (tmp_path / "tmp" / f"igllm-{os.getuid()}").stat().st_mode & 0o777 == 0o700


def test_a_private_folder_of_somebody_else_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the private folder is a link, nothing is cached there, and the call succeeds."""
    (tmp_path / "d").mkdir()
    (tmp_path / "tmp").mkdir()
    theirs = tmp_path / "tmp" / f"igllm-{os.getuid()}"
    environment = {**os.environ, "XDG_CACHE_HOME": "/dev/null", "TMPDIR": str(tmp_path / "tmp"), "HOME": "~"}
    theirs.symlink_to(tmp_path / "d")
    program = f"import igllm; assert igllm.main({[*DOTS, '--num', '2', '--out', 'out']}) == 0"
    done = subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "nothing is kept for later" in done.stderr
    assert not list((tmp_path / "d").iterdir())


class Panic(BaseException):
    """Like the panic of a Rust library: `except Exception` does not catch it."""


@pytest.mark.parametrize("kind", [ZeroDivisionError, Panic, GeneratorExit])
def test_an_error_of_our_own_is_one_line_and_a_file(
    kind: type[BaseException], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> None:
        raise kind("told at length\nin two lines")

    monkeypatch.setattr("datagen.shards.verify.verify", broken)
    with pytest.raises(kind):
        main(["verify", "d"])
    monkeypatch.delenv("IGLLM_TRACEBACK")
    assert main(["verify", "d"]) == 70
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"igllm verify: an error of igllm's own, {kind.__name__}: told at length; please report it with the file ")
    report = Path(line.rpartition(" ")[2])
    assert "in broken" in report.read_text()
    report.unlink()


def test_a_link_is_written_through_and_places_of_the_system_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "a.jsonl", tmp_path / "link.jsonl"
    target.write_text("old")
    link.symlink_to(target)
    write_predictions(link, [Prediction("a", "")])
    assert link.is_symlink()
    assert list(read_predictions(target)) == ["a"]
    for place in ("/dev/stdout", "/dev/null", "/proc/x", "/dev/x"):
        with pytest.raises(UserError, match="a device or pipe is in the place of the file to write"):
            check_file(Path(place))
    if os.access("/dev/shm", os.W_OK):
        check_file(Path("/dev/shm/x"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "--num", "2", "--out", "file://"], "a URL that names no folder"),
        (["export", "--data", "d", "--format", "coco", "--out", "s3://b/x"], "a place on this machine is expected"),
        (["compare", "--reference", "a", "--candidate", "b", "--out", "file:///tmp/x"], "a place on this machine is expected"),
        (["train", "--data", "d", "--out", "r", "--set", "vision_model="], "is not KEY=VALUE"),
        (["train", "--data", "d", "--out", "r", "--set", "=3"], "is not KEY=VALUE"),
        (["train", "--data", "d", "--out", "r", "--set", "steps=3", "--set", "steps=4"], "--set steps: is given twice"),
        (["predict", "--images", "a.png", "--temperature", "1e-300"], "temperature 1e-300: from 1e-06 to 1e+06 are possible"),
    ],
)
def test_what_means_something_else_than_it_says_is_refused(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        status = main(arguments)
    except SystemExit as stop:  # argparse
        status = stop.code
    assert status == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
