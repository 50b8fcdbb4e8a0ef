"""A full disk, a folder removed while it is written, and links in a folder of somebody else: the call ends with one message that names the
path, and the next call succeeds as a first one does.

A limit on the size of files stands in for a full disk.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from places import MINI

from datagen.code.predictions import Prediction, write_predictions
from datagen.errors import UserError
from datagen.formats.export import export
from datagen.io.files import write_bytes
from datagen.io.written import DRAFT
from datagen.samples.draw import draw
from datagen.samples.sample import make_sample
from datagen.samples.settings import DatasetSettings
from datagen.shards.reader import Samples, write_shard
from datagen.shards.store import SPOOL
from igllm import main
from model.preset import get_preset
from model.training.train import Callback, Data, train

pytestmark = pytest.mark.usefixtures("without_plots")

DOTS = ("generate", "--domain", "dot2d", "--width", "32", "--height", "32", "--num", "12", "--shard-size", "4", "--seed", "3")
Call = Callable[[Path], list[str]]


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Call]:
    """By name, a function from the output folder to the arguments of a call."""
    folder = tmp_path_factory.mktemp("needed")
    data, predictions, tars = folder / "data", folder / "said.jsonl", folder / "tars"
    assert main([*DOTS, "--out", str(data)]) == 0
    samples = Samples(data)
    write_predictions(predictions, [Prediction(key, samples.code(key)) for key in samples.keys])
    settings = DatasetSettings(width=40, height=30, min_objects=2, max_objects=3)
    drawn = {f"{index:09d}": draw(settings, index) for index in range(5)}
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    write_shard(tars / "a.tar", (make_sample(key, one.scene, one.shot, noise, one.view) for key, one in drawn.items()))
    export(tars, "clevr", folder / "clevr")
    [scenes] = (folder / "clevr" / "scenes").iterdir()
    images = str(folder / "clevr" / "images")

    def exporting(form: str, source: Path) -> Call:
        return lambda out: ["export", "--data", str(source), "--format", form, "--out", str(out)]

    return {
        "generate": lambda out: [*DOTS, "--out", str(out)],
        "merge": lambda out: ["merge", str(out), "--from", str(data)],
        "export coco": exporting("coco", data),
        "export hf": exporting("hf", data),
        "export clevr": exporting("clevr", tars),
        "import": lambda out: ["import", "--format", "clevr", "--scenes", str(scenes), "--out", str(out)],
        "import images": lambda out: ["import", "--format", "clevr", "--scenes", str(scenes), "--images", images, "--out", str(out)],
        "inspect": lambda out: ["inspect", str(data), "--out", str(out)],
        "render": lambda out: ["render", "--code", str(predictions), "--data", str(data), "--out", str(out)],
        "compare": lambda out: ["compare", "--reference", str(data), "--candidate", str(predictions), "--out", str(out)],
    }


NAMES = ("generate", "merge", "export coco", "export hf", "export clevr", "import", "import images", "inspect", "render", "compare")


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents(folder: Path) -> dict[str, bytes]:
    """The content of a folder's files by relative path, except igllm's lists and locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock" and not path.name.startswith(".igllm-"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def without_names(made: dict[str, bytes], folder: Path) -> dict[str, bytes]:
    """The contents, with the path of their folder removed from them."""
    return {name: data.replace(os.fsencode(folder), b"") for name, data in made.items()}


def messages(errors: str) -> list[str]:
    """The lines of standard error that are messages of igllm, without progress and notes."""
    return [line for line in errors.splitlines() if re.match(r"igllm \w+: (?!cameras|older)", line)]


@pytest.mark.parametrize("size", [300])
@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_one_message_with_the_path(
    name: str, size: int, calls: dict[str, Call], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, fresh, call = tmp_path / "out", tmp_path / "fresh", calls[name]
    capsys.readouterr()
    with no_file_beyond(size):
        status = main(call(out))
    [message] = messages(capsys.readouterr().err)
    assert status == 2
    assert re.match(rf"igllm {name.split(maxsplit=1)[0]}: {re.escape(str(out))}\S*: File too large", message)
    assert main(call(out)) == 0
    assert main(call(fresh)) == 0
    assert without_names(contents(out), out) == without_names(contents(fresh), fresh)
    assert {path.name for path in tmp_path.iterdir()} == {"out", "fresh"}


PROGRESS = {
    "generate": "datagen.generate",
    "merge": "datagen.shards.merge",
    "export coco": "datagen.formats.export",
    "export hf": "datagen.formats.export",
    "import": "datagen.formats.clevr_import",
    "import images": "datagen.formats.clevr_import",
    "render": "render.rerender",
    "compare": "render.compare",
}
"""By call, the module whose `progress` the test replaces."""


def remove_all(folder: Path) -> None:
    """rm -rf FOLDER"""
    shutil.rmtree(folder, ignore_errors=True)


def remove_what_is_seen(folder: Path) -> None:
    """rm -rf FOLDER/*"""
    for path in folder.glob("[!.]*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def remove_the_files(folder: Path) -> None:
    """Remove all files but no folder, as rm -rf FOLDER does if new files appear in folders that it has just emptied."""
    for path in folder.rglob("*"):
        if not path.is_dir():
            path.unlink()


@pytest.mark.parametrize("remove", [remove_all, remove_what_is_seen, remove_the_files])
@pytest.mark.parametrize("after", [2])
@pytest.mark.parametrize("name", PROGRESS)
def test_a_folder_removed_while_it_is_written_breaks_no_later_call(  # noqa: PLR0917
    name: str,
    after: int,
    remove: Callable[[Path], None],
    calls: dict[str, Call],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, fresh, call = tmp_path / "out", tmp_path / "fresh", calls[name]
    assert main(call(fresh)) == 0
    capsys.readouterr()

    def progress(items: Iterable[object], *_: object, **__: object) -> Iterator[object]:
        for number, item in enumerate(items):
            if number == after:
                remove(out)
            yield item

    with monkeypatch.context() as patched:
        patched.setattr(f"{PROGRESS[name]}.progress", progress)
        status = main(call(out))
    if status:  # else the removed files were not this call's, or were written afterwards
        [message] = messages(capsys.readouterr().err)
        assert (status, message) == (
            2,
            f"igllm {name.split(maxsplit=1)[0]}: {out}: was removed while this call was writing it; call it again to begin anew",
        )
    else:
        assert without_names(contents(out), out) == without_names(contents(fresh), fresh)
    assert main(call(out)) == 0
    assert without_names(contents(out), out) == without_names(contents(fresh), fresh)


@pytest.mark.parametrize("name", ["generate", "merge", "export hf", "import", "import images", "inspect", "render", "compare"])
def test_nothing_is_written_where_a_link_leads(
    name: str, calls: dict[str, Call], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of somebody else may have links to any file, under any name that a verb writes."""
    fresh, out, theirs, call = tmp_path / "fresh", tmp_path / "out", tmp_path / "theirs", calls[name]
    assert main(call(fresh)) == 0
    theirs.mkdir()
    (theirs / "precious").write_text("precious")
    planted = [path.relative_to(fresh) for path in fresh.rglob("*") if not path.is_dir()]
    for file in planted:
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        (out / file).symlink_to(theirs / ("precious" if file.name != ".lock" else "lock"))
    main(call(out))
    assert {path.name: path.read_text() for path in theirs.iterdir()} == {"precious": "precious"}
    for hidden in (SPOOL, DRAFT):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        (out / hidden).symlink_to(theirs)
        capsys.readouterr()
        if main(call(out)):
            error = capsys.readouterr().err
            assert f"{out / hidden}: is a link, and igllm has left none there; remove it" in error or f"such as {hidden};" in error
        assert {path.name: path.read_text() for path in theirs.iterdir()} == {"precious": "precious"}


def mini_run(calls: dict[str, Call], tmp_path: Path) -> tuple[Path, Data]:
    data = tmp_path / "data"
    assert main(calls["generate"](data)) == 0
    return tmp_path / "run", Data([data])


@pytest.mark.parametrize("size", [10_000, 200_000])
def test_a_checkpoint_that_finds_no_room_is_one_message(size: int, calls: dict[str, Call], tmp_path: Path) -> None:
    """The first size stops safetensors, the second torch; neither library raises an OSError."""
    run, data = mini_run(calls, tmp_path)
    preset = get_preset(str(MINI)).changed(["steps=2", "save_steps=1"])
    with no_file_beyond(size), pytest.raises(UserError, match="run: File too large; what was saved before is kept: call it again to go on"):
        train(preset, "mini", data=data, out=run)
    assert not (run / ".saving").exists()
    train(preset, "mini", data=data, out=run)
    assert (run / "config.json").is_file()


@pytest.mark.parametrize("remove", [remove_all, remove_what_is_seen])
def test_a_run_removed_while_it_trains_is_not_made_again(remove: Callable[[Path], None], calls: dict[str, Call], tmp_path: Path) -> None:
    run, data = mini_run(calls, tmp_path)
    preset = get_preset(str(MINI)).changed(["steps=2", "save_steps=2"])
    with pytest.raises(UserError, match="run: was removed while this call was writing it; call it again to begin anew"):
        train(preset, "mini", data=data, out=run, callback=Callback(lambda *_: remove(run), 1))
    assert not run.exists() or not any(run.glob("[!.]*"))
    train(preset, "mini", data=data, out=run)
    assert (run / "config.json").is_file()


def test_a_disk_without_room_for_temporary_files_is_not_the_models_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, preset = tmp_path / "run", get_preset(str(MINI)).changed(["steps=1"])
    assert main([*DOTS, "--out", str(tmp_path / "data")]) == 0
    train(preset, "mini", data=Data([tmp_path / "data"]), out=model)
    capsys.readouterr()
    with no_file_beyond(50):
        status = main(["predict", "--model", str(model), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "pred.jsonl")])
    [message] = messages(capsys.readouterr().err)
    assert (status, message.count("File too large")) == (2, 1)
    assert "cannot be loaded" not in message and "None" not in message and "/igllm-call-" in message


def test_what_a_killed_writer_left_is_written_over(tmp_path: Path) -> None:
    for left in (b"", b"a long rest of what was written before"):
        (tmp_path / ".file.tmp").write_bytes(left)
        write_bytes(tmp_path / "file", b"whole")
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
        assert (tmp_path / "file").read_bytes() == b"whole"
