"""Crafted checkpoints with matching digests: no code in them is run, and content that is not the run's is refused with one message."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from payload import Payload
from safetensors.torch import load_file, save_file
from small_run import PRESET, generate

import igllm
from datagen.errors import UserError
from datagen.io.bounds import peak_memory
from datagen.io.files import file_sha256
from model.run_folder import newest_checkpoint
from model.training.pickles import check_pickle


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.toml").write_text(PRESET)
    generate(folder / "data")
    assert train(folder, folder / "run", 2) == 0
    return folder


def train(folder: Path, out: Path, steps: int) -> int:
    words = ["--preset", str(folder / "small.toml"), "--data", str(folder / "data"), "--out", str(out), "--device", "cpu"]
    return igllm.main(["train", *words, "--steps", str(steps), "--set", "save_steps=1"])


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A run of two steps with a checkpoint after each."""
    return Path(shutil.copytree(trained / "run", tmp_path / "run"))


def seal(checkpoint: Path) -> None:
    """State the digests of the changed files, as an attacker can."""
    found = {path.relative_to(checkpoint).as_posix(): path for path in checkpoint.rglob("*") if path.is_file()}
    files = {name: file_sha256(path) for name, path in found.items() if name != "whole.json"}
    (checkpoint / "whole.json").write_text(json.dumps(files))


def pickled(name: str) -> Callable[[Path], None]:
    return lambda checkpoint: torch.save({"x": Payload(checkpoint.parents[1] / "RUN")}, checkpoint / name)


def old_pickle(checkpoint: Path) -> None:
    (checkpoint / "optimizer.pt").write_bytes(pickle.dumps(Payload(checkpoint.parents[1] / "RUN")))


def compressed(checkpoint: Path) -> None:
    """Compress the optimizer's archive."""
    with zipfile.ZipFile(checkpoint / "optimizer.pt") as archive:
        content = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(checkpoint / "optimizer.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def tensors(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Change the state in a ``.pt`` file."""

    def harm(checkpoint: Path) -> None:
        state = torch.load(checkpoint / name, weights_only=True)
        change(state)
        torch.save(state, checkpoint / name)

    return harm


def fields(name: str, **changes: Any) -> Callable[[Path], None]:
    """Change fields of a JSON file."""

    def harm(checkpoint: Path) -> None:
        (checkpoint / name).write_text(json.dumps(json.loads((checkpoint / name).read_text()) | changes))

    return harm


def archived(name: str, pickled: bytes, **storages: bytes) -> Callable[[Path], None]:
    """Write an archive as torch does, with this pickle and these storages."""

    def harm(checkpoint: Path) -> None:
        with zipfile.ZipFile(checkpoint / name, "w") as archive:
            archive.writestr("archive/data.pkl", pickled)
            archive.writestr("archive/version", "3\n")
            archive.writestr("archive/byteorder", "little")
            for storage, content in storages.items():
                archive.writestr(f"archive/data/{storage}", content)

    return harm


def text(content: str) -> bytes:
    """A pickle's code for a text."""
    return pickle.BINUNICODE + struct.pack("<I", len(content)) + content.encode()


def many_bytes(number: int) -> bytes:
    """A pickle that allocates so many bytes."""
    return b"\x80\x02cbuiltins\nbytearray\n\x8a\x05" + number.to_bytes(5, "little") + b"\x85R."


def copies(function: str, number: int) -> bytes:
    """A pickle that calls a function many times for the bytes of one long text."""
    call = b"h\x01h\x02h\x03\x86R"
    return (
        b"\x80\x02]c" + function.encode() + b"\nq\x01" + text("a" * 100_000) + b"q\x02" + text("latin1") + b"q\x03(" + call * number + b"e."
    )


def tensor(stated: int) -> bytes:
    """A pickle of one tensor that states so many numbers in the storage ``s``."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("s") + text("cpu") + b"M" + struct.pack("<H", stated) + b"tQ"
    shape = b"K\x00M" + struct.pack("<H", stated) + b"\x85K\x01\x85\x89ccollections\nOrderedDict\n)R"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + shape + b"tR."


def array(length: int, kind: str) -> bytes:
    """A pickle that makes a NumPy array of this length and kind."""
    names = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
    return b"\x80\x02" + names + b"J" + struct.pack("<i", length) + b"\x85" + text(kind) + b"tR."


def behind_another(checkpoint: Path) -> None:
    """Put a pickle before the archive, which a reader of plain pickles would run."""
    archive = (checkpoint / "scheduler.pt").read_bytes()
    (checkpoint / "scheduler.pt").write_bytes(pickle.dumps(Payload(checkpoint.parents[1] / "RUN"), protocol=2) + archive)


def other_weights(checkpoint: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    weights.pop("projector.bias")
    save_file(weights, checkpoint / "model.safetensors", {"format": "pt"})


def weights_that_are_no_numbers(checkpoint: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    weights["projector.bias"][3] = float("nan")
    save_file(weights, checkpoint / "model.safetensors", {"format": "pt"})


def beside(name: str, content: bytes = b"x") -> Callable[[Path], None]:
    """Add a file that no checkpoint of a whole model has."""

    def harm(checkpoint: Path) -> None:
        (checkpoint / name).parent.mkdir(exist_ok=True)
        (checkpoint / name).write_bytes(content)

    return harm


def with_mark(checkpoint: Path) -> None:
    """Begin the file with a byte order mark, which not every reader skips."""
    path = checkpoint / "trainer_state.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def first_group(state: dict[str, Any]) -> dict[str, Any]:
    return state["param_groups"][0]


HARMS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pickle for the optimizer": (pickled("optimizer.pt"), "optimizer.pt"),
    "an old pickle": (old_pickle, "optimizer.pt"),
    "a pickle for the schedule": (pickled("scheduler.pt"), "scheduler.pt"),
    "a pickle for random states": (pickled("rng_state.pth"), "rng_state.pth"),
    "a pickle for the scaler": (pickled("scaler.pt"), "scaler.pt"),
    "bytes without end": (archived("optimizer.pt", many_bytes(10**10)), "optimizer.pt"),
    "bytes of one text": (archived("scheduler.pt", copies("builtins\nbytearray", 4000)), "scheduler.pt"),
    "an array without end": (archived("rng_state.pth", array(2 * 10**9, "O")), "rng_state.pth"),
    "numbers without end": (archived("scaler.pt", b"\x80\x02" + b"K\x01" * 2_500_000 + b"."), "scaler.pt"),
    "a storage that is not all there": (archived("optimizer.pt", tensor(60_000), s=bytes(4)), "states 60,000 numbers where 1 are"),
    "an archive behind a pickle": (behind_another, "as torch saves"),
    "compressed": (compressed, "compressed"),
    "no optimizer": (lambda checkpoint: (checkpoint / "optimizer.pt").unlink(), "optimizer.pt is missing"),
    "other shapes": (
        tensors("optimizer.pt", lambda state: state["state"][0].update(exp_avg=torch.zeros(3))),
        "parameters of other shapes",
    ),
    "no numbers": (
        tensors("optimizer.pt", lambda state: state["state"][0]["exp_avg"].fill_(float("nan"))),
        "no finite number",
    ),
    "uphill": (tensors("optimizer.pt", lambda state: first_group(state).update(maximize=True)), "settings"),
    "no groups": (tensors("optimizer.pt", lambda state: state.update(param_groups=[])), "optimizer.pt"),
    "a rate above the first": (tensors("optimizer.pt", lambda state: first_group(state).update(lr=0.5)), "learning rate is 0.5"),
    "a rate that is none": (tensors("optimizer.pt", lambda state: first_group(state).update(lr="fast")), "learning rate"),
    "another schedule": (tensors("scheduler.pt", lambda state: state.update(base_lrs=[1.0, 1.0])), "schedule"),
    "a schedule's method": (tensors("scheduler.pt", lambda state: state.update(step=3)), "schedule"),
    "a schedule's optimizer": (tensors("scheduler.pt", lambda state: state.update(optimizer=5)), "schedule"),
    "a schedule of numbers": (lambda checkpoint: torch.save([1], checkpoint / "scheduler.pt"), "schedule"),
    "a schedule without functions": (tensors("scheduler.pt", lambda state: state.update(lr_lambdas=[None, None])), "schedule"),
    "a schedule that is none yet": (tensors("scheduler.pt", lambda state: state.update(_is_initial=5)), "schedule"),
    "a schedule at another step": (tensors("scheduler.pt", lambda state: state.update(last_epoch=1)), "last_epoch is 1"),
    "no rates": (tensors("scheduler.pt", lambda state: state.update(_last_lr=[])), "learning rates"),
    "a rate too many": (tensors("scheduler.pt", lambda state: state["_last_lr"].append(0.0)), "learning rates"),
    "rates that are none": (tensors("scheduler.pt", lambda state: state.update(_last_lr=["x"] * len(state["base_lrs"]))), "learning rates"),
    "random states of another size": (
        lambda checkpoint: torch.save({"python": (3, (1, 2), None), "cpu": torch.zeros(3)}, checkpoint / "rng_state.pth"),
        "rng_state.pth",
    ),
    "another step": (fields("trainer_state.json", global_step=10**15), "global_step"),
    "a step of another checkpoint": (fields("trainer_state.json", global_step=1), "global_step"),
    "a negative step": (fields("trainer_state.json", global_step=-1), "global_step"),
    "a step in words": (fields("trainer_state.json", global_step="2"), "global_step"),
    "an epoch without end": (fields("trainer_state.json", epoch=1e300), "epoch"),
    "a state in another encoding": (with_mark, "trainer_state.json"),
    "a state with more fields": (fields("trainer_state.json", more=1), "trainer_state.json"),
    "a log that is none": (fields("trainer_state.json", log_history=[5]), "log_history"),
    "a mark of byte order": (
        lambda checkpoint: (checkpoint / "trainer_state.json").write_bytes(
            b"\xef\xbb\xbf" + (checkpoint / "trainer_state.json").read_bytes()
        ),
        "trainer_state.json",
    ),
    "a field that is none": (fields("trainer_state.json", other=1), "trainer_state.json"),
    "sums of another loss": (fields("pending.json", sums={"x": 1.0}), "pending.json"),
    "sums that are none": (fields("pending.json", sums=[]), "pending.json"),
    "sums since a later step": (fields("pending.json", since=3), "since"),
    "weights of another model": (other_weights, "projector.bias"),
    "weights that are no numbers": (weights_that_are_no_numbers, "projector.bias holds what is no finite number"),
    "pieces of a model": (beside("pytorch_model_fsdp_0/.metadata"), "pytorch_model_fsdp_0 is nothing that"),
    "adapters in a folder": (beside("other/adapter_model.safetensors"), "other is nothing that"),
    "weights of another format": (beside("pytorch_model.bin"), "pytorch_model.bin is nothing that"),
    "numbers that unfold": (
        tensors("optimizer.pt", lambda state: state["state"][0].update(exp_avg=torch.zeros(1).expand(10**9))),
        "more than are there",
    ),
    "squares below 0": (tensors("optimizer.pt", lambda state: state["state"][0]["exp_avg_sq"].sub_(1)), "below 0"),
    "no state": (tensors("optimizer.pt", lambda state: state["state"].clear()), "no state"),
    "no random states": (lambda checkpoint: (checkpoint / "rng_state.pth").unlink(), "rng_state.pth"),
    "a configuration that is none": (lambda checkpoint: (checkpoint / "config.json").write_text("[]"), "cannot be taken up"),
}


def test_what_a_training_saves_is_read(trained: Path) -> None:
    saved = [path for path in (trained / "run" / "checkpoint-2").iterdir() if path.suffix in {".pt", ".pth"}]
    assert len(saved) == 3
    for path in saved:
        check_pickle(path)


@pytest.mark.parametrize(
    "pickled",
    [
        many_bytes(10**10),
        copies("builtins\nbytearray", 4000),
        copies("_codecs\nencode", 4000),
        array(2 * 10**9, "O"),
        b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"K\x00s.",  # a key of 100,000 nested tuples
        b"\x80\x02}(" + b"".join(b"\x8a\x0a" + (i * (2**61 - 1)).to_bytes(10, "little") + b"N" for i in range(1000)) + b"u.",  # one hash
        b"\x80\x02N\x96" + b"\xff" * 5 + b"\0\0\0.",  # more bytes than follow
        tensor(60_000),
    ],
    ids=range(8),
)
def test_a_pickle_that_asks_for_more_than_is_there_is_not_read(tmp_path: Path, pickled: bytes) -> None:
    archived("x.pt", pickled, s=bytes(4))(tmp_path)
    before = peak_memory()
    with pytest.raises(UserError):
        check_pickle(tmp_path / "x.pt")
    assert peak_memory() - before < 200_000 * 1024


@pytest.mark.parametrize("name", HARMS)
def test_a_crafted_checkpoint_is_one_message(trained: Path, run: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    harm, message = HARMS[name]
    newest = run / "checkpoint-2"
    harm(newest)
    seal(newest)
    capsys.readouterr()
    assert train(trained, run, 3) == 2
    last_line = capsys.readouterr().err.splitlines()[-1]
    assert not (run.parent / "RUN").exists()
    assert message in last_line
    assert str(newest) in last_line
    assert "weights_only" not in last_line
    assert "remove this checkpoint" in last_line
    assert len(last_line) < 600


@pytest.mark.parametrize("states", [{}, {"TrainerControl": "x"}, {"TrainerControl": [5]}, {"Other": {"args": {"x": 1}}}])
def test_states_of_callbacks_are_those_of_the_training_that_goes_on(trained: Path, run: Path, states: Any) -> None:
    before = json.loads((run / "checkpoint-2" / "trainer_state.json").read_text())
    fields("trainer_state.json", stateful_callbacks=states)(run / "checkpoint-2")
    seal(run / "checkpoint-2")
    assert train(trained, run, 3) == 0
    written = json.loads((run / "checkpoint-3" / "trainer_state.json").read_text())
    assert written["stateful_callbacks"].keys() == before["stateful_callbacks"].keys()


def test_what_the_message_says_helps(trained: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pickled("optimizer.pt")(run / "checkpoint-2")
    seal(run / "checkpoint-2")
    assert train(trained, run, 3) == 2
    shutil.rmtree(run / "checkpoint-2")
    assert train(trained, run, 3) == 0
    assert "going on from step 1 of 3" in capsys.readouterr().err


@pytest.mark.parametrize("listed", [{}, [], {"../../x": "y"}, {"optimizer.pt": 5}, "x"])
def test_a_list_of_files_that_is_not_the_checkpoints_makes_it_damaged(
    trained: Path, run: Path, listed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "checkpoint-2" / "whole.json").write_text(json.dumps(listed))
    assert train(trained, run, 1) == 0
    assert "passed over for checkpoint-1" in capsys.readouterr().err


def test_a_file_that_does_not_belong_to_a_checkpoint_makes_it_damaged(trained: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The trainer would read, for example, a scaler's state or weights in the older format."""
    pickled("scaler.pt")(run / "checkpoint-2")
    (run / "checkpoint-1" / ".DS_Store").write_bytes(b"x")
    assert train(trained, run, 1) == 0
    assert "checkpoint-2: scaler.pt does not belong to it, so it is passed over for checkpoint-1" in capsys.readouterr().err
    assert not (run.parent / "RUN").exists()


def link(path: Path) -> None:
    path.symlink_to(path.parents[2])


@pytest.mark.parametrize("name", ["pytorch_model_fsdp_0", "optimizer_0", "x", "deep/er"])
@pytest.mark.parametrize("make", [lambda path: path.mkdir(parents=True), link, os.mkfifo])
def test_nothing_that_does_not_belong_to_a_checkpoint_is_passed_over_in_silence(run: Path, name: str, make: Callable[[Path], None]) -> None:
    place = run / "checkpoint-2" / name
    place.parent.mkdir(exist_ok=True)
    make(place)
    messages: list[str] = []
    found = newest_checkpoint(run, messages.append)
    assert found is not None
    assert found.name == "checkpoint-1"
    assert f"{Path(name).parts[0]} does not belong to it" in messages[0]


@pytest.mark.parametrize("name", ["log.jsonl", "tensorboard", ".saving"])
def test_a_link_in_a_run_is_not_written_through(trained: Path, run: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = run.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("precious")
    place = run / name
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(elsewhere / "precious" if name == "log.jsonl" else elsewhere)
    assert train(trained, run, 3) == 2
    assert f"{name}: is a link, which a run does not have" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in elsewhere.iterdir()] == [("precious", "precious")]


@pytest.mark.parametrize(
    ("change", "message"),
    [(lambda value: value * float("nan"), "projector.bias, which is not finite"), (lambda value: value.long(), "is of I64 numbers")],
)
def test_useless_weights_are_not_begun_with(
    trained: Path, run: Path, change: Callable[[Any], Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = load_file(run / "model.safetensors")
    weights["projector.bias"] = change(weights["projector.bias"])
    save_file(weights, run / "model.safetensors", {"format": "pt"})
    (run / "whole.json").unlink()
    words = ["--preset", str(trained / "small.toml"), "--data", str(trained / "data"), "--out", str(run.parent / "next"), "--device", "cpu"]
    assert igllm.main(["train", *words, "--steps", "1", "--init", str(run)]) == 2
    assert message in capsys.readouterr().err
