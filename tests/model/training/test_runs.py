"""A run folder: taken up from its newest whole checkpoint, by what it was made from and not by names."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
import torch
from comparison_sets import save_loose
from damage import empty, flip, last_bit, truncate
from PIL import Image
from safetensors.torch import load_file, save_file
from small_run import PRESET, Train, generate

import igllm
from datagen.errors import UserError
from datagen.io.files import file_sha256, read_json, read_jsonl, write_json
from datagen.shards.reader import Samples
from model.data.feature_cache import FeatureCache
from model.igllm import IGLLM
from model.load import find_model, load_model
from model.run_folder import newest_checkpoint


def repaint(image: Path) -> None:
    """Put another picture in a file."""
    colours = io.BytesIO()
    Image.new("RGB", Image.open(image).size, (200, 10, 10)).save(colours, "PNG")
    image.write_bytes(colours.getvalue())


@pytest.fixture(scope="module")
def two_steps(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    (folder / "small.toml").write_text(PRESET)
    words = ["--preset", str(folder / "small.toml"), "--data", str(dots), "--out", str(folder / "run"), "--device", "cpu"]
    assert igllm.main(["train", *words, "--steps", "2", "--set", "save_steps=1"]) == 0
    return folder / "run"


@pytest.fixture
def run(two_steps: Path, tmp_path: Path) -> Path:
    """A run of two steps with a checkpoint after each."""
    return shutil.copytree(two_steps, tmp_path / "run")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "whole.json"])
@pytest.mark.parametrize("harm", [last_bit, Path.unlink])
def test_a_finished_model_that_was_damaged_since_is_refused(train: Train, run: Path, harm: Callable[[Path], None], name: str) -> None:
    assert load_model(find_model(str(run)), "cpu").model
    harm(run / name)
    if name == "whole.json" and harm is Path.unlink:  # as of a model that was put together by other means
        assert load_model(run, "cpu").model
        return
    with pytest.raises(UserError, match=f"{run}.*({name}|whole.json)") as raised:
        load_model(run, "cpu")
    assert "\n" not in str(raised.value)


def test_a_model_may_be_changed_on_purpose(run: Path) -> None:
    model = IGLLM.from_pretrained(run)
    with torch.no_grad():
        model.projector.bias += 1
    model.save_pretrained(run)
    assert torch.equal(load_model(run, "cpu").model.projector.bias, model.projector.bias)


def test_it_says_from_which_step_it_goes_on(train: Train, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "going on" not in capsys.readouterr().err
    assert train("--steps", "3") == 0
    assert f"{run}: going on from step 2 of 3\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        *product((truncate, flip, empty, Path.unlink), ("model.safetensors", "optimizer.pt", "trainer_state.json")),
        *product((truncate, empty, Path.unlink), ("whole.json",)),  # a bit of it may make another file seem damaged
    ],
)
def test_a_damaged_newest_checkpoint_is_passed_over_with_a_word(
    train: Train, run: Path, harm: Callable[[Path], None], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    harm(run / "checkpoint-2" / name)
    capsys.readouterr()
    assert newest_checkpoint(run) == run / "checkpoint-1"
    message = capsys.readouterr().err
    assert message.startswith(f"{run / 'checkpoint-2'}: {name}")
    assert message.endswith("passed over for checkpoint-1, the newest that is whole\n")
    if (harm, name) == (truncate, "model.safetensors"):
        assert train("--steps", "3", "--set", "save_steps=1") == 0
        assert "going on from step 1 of 3" in capsys.readouterr().err
        assert newest_checkpoint(run) == run / "checkpoint-3"


def test_where_no_checkpoint_is_whole_there_is_one_message(train: Train, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truncate(run / "checkpoint-1" / "optimizer.pt")
    flip(run / "checkpoint-2" / "model.safetensors")
    before = (run / "run.json").read_bytes()
    capsys.readouterr()
    assert train("--steps", "3") == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "checkpoint-2: model.safetensors is damaged" in message
    assert "checkpoint-1: optimizer.pt is damaged" in message
    assert (run / "run.json").read_bytes() == before
    for checkpoint in run.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    assert train("--steps", "1") == 0


class Killed(BaseException):
    """Stands for SIGKILL: no `except Exception` catches it."""


def test_a_kill_while_a_better_model_takes_its_place_keeps_the_best(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    val = generate(tmp_path / "val", seed=1, num=2)
    flags = ("--val", str(val), "--set", "eval_steps=1", "--set", "save_steps=1", "--set", "learning_rate=1e-5")
    assert train("--steps", "1", *flags) == 0
    best = tmp_path / "run" / "best"
    before = {path.name: path.read_bytes() for path in best.iterdir()}
    rename = Path.rename

    def killed(path: Path, target: Path) -> Path:
        renamed = rename(path, target)
        if path == best:
            raise Killed
        return renamed

    monkeypatch.setattr("model.training.trainer.best_loss", lambda _: float("inf"))  # whatever comes is better
    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(Killed):
        train("--steps", "2", *flags)
    assert not best.exists()
    monkeypatch.undo()
    monkeypatch.setattr("model.training.trainer.best_loss", lambda _: 0.0)  # nothing is
    assert train("--steps", "2", *flags) == 0
    assert {path.name: path.read_bytes() for path in best.iterdir()} == before
    assert not (tmp_path / "run" / ".saving").exists()


def test_what_is_left_of_a_model_that_was_put_aside_is_not_taken_for_one(train: Train, run: Path) -> None:
    (run / ".saving" / "old").mkdir(parents=True)
    for name in ("best.json", "config.json"):
        (run / ".saving" / "old" / name).write_text("{}")
    assert train("--steps", "2") == 0
    assert not (run / "best").exists()
    assert not (run / ".saving").exists()


@pytest.mark.parametrize("files", [0, 1, 3])
def test_a_kill_while_a_finished_model_takes_its_place_leaves_the_last_checkpoint(
    train: Train, run: Path, files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[Path] = []
    replace = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if Path(target).parent == run and path.parent.name == "final":
            if len(moved) == files:
                raise Killed
            moved.append(path)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(Killed):
        train("--steps", "3")
    monkeypatch.undo()
    found = find_model(str(run))
    assert found.name == "checkpoint-3"
    expected = load_model(found, "cpu").model.state_dict()
    assert train("--steps", "3") == 0
    assert find_model(str(run)) == run
    assert all(torch.equal(value, expected[name]) for name, value in load_model(run, "cpu").model.state_dict().items())


def test_after_a_damaged_checkpoint_training_gives_what_it_would_have(train: Train, run: Path, tmp_path: Path) -> None:
    flip(run / "checkpoint-2" / "optimizer.pt")
    shutil.copytree(run, tmp_path / "undamaged")
    shutil.rmtree(tmp_path / "undamaged" / "checkpoint-2")  # as if it had been killed before
    for folder in (run, tmp_path / "undamaged"):
        assert train("--steps", "3", out=folder) == 0
    gone_on, straight = (load_file(folder / "model.safetensors") for folder in (run, tmp_path / "undamaged"))
    assert all(torch.equal(gone_on[name], straight[name]) for name in straight)
    assert [row["step"] for row in read_jsonl(run / "log.jsonl") if "loss" in row] == [1, 2, 3]


def test_other_data_of_the_same_name_and_size_are_refused(
    train: Train, run: Path, tmp_path: Path, dots: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = (run / "run.json").read_bytes()
    assert train("--steps", "3", data=generate(tmp_path / "other", seed=7)) == 2
    assert "holds a run on other data" in capsys.readouterr().err
    assert (run / "run.json").read_bytes() == kept
    shutil.copytree(dots, tmp_path / "moved")  # the same data elsewhere
    assert train("--steps", "3", data=tmp_path / "moved") == 0


def test_a_repainted_image_makes_other_data(train: Train, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = save_loose(tmp_path / "loose", Samples(dots))
    assert train("--steps", "1", data=data) == 0
    assert train("--steps", "1", data=data) == 0
    repaint(data / "000000003.png")
    assert train("--steps", "1", data=data) == 2
    assert "holds a run on other data" in capsys.readouterr().err


def test_a_repainted_image_is_seen_anew_by_a_frozen_tower(
    train: Train, dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first loss depends on the features: equal for equal images, another for the repainted one, though its key stays."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = save_loose(tmp_path / "loose", Samples(dots))
    losses = []
    for number in range(3):
        if number == 2:
            for image in data.glob("*.png"):
                repaint(image)
        out = tmp_path / f"run{number}"
        frozen = ["--cache-features", "--set", "freeze_vision=true", "--steps", "1"]
        assert train(*frozen, data=data, out=out) == 0
        losses.append(next(row["loss"] for row in read_jsonl(out / "log.jsonl") if "loss" in row))
    assert losses[0] == losses[1]
    assert losses[2] != losses[1]
    assert len(list((tmp_path / "cache" / "igllm" / "features").iterdir())) == 2


def test_init_is_known_by_its_weights(train: Train, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = ["--init", str(run), "--steps", "1"]
    assert train(*begun, out=tmp_path / "second") == 0
    run.rename(tmp_path / "elsewhere")  # a folder may move
    assert train("--init", str(tmp_path / "elsewhere"), "--steps", "1", out=tmp_path / "second") == 0
    weights = load_file(tmp_path / "elsewhere" / "model.safetensors")
    weights["projector.bias"] = weights["projector.bias"] + 1
    save_file(weights, tmp_path / "elsewhere" / "model.safetensors", {"format": "pt"})
    capsys.readouterr()
    assert train("--init", str(tmp_path / "elsewhere"), "--steps", "2", out=tmp_path / "second") == 2
    assert "began with other weights than --init names now" in capsys.readouterr().err
    truncate(tmp_path / "elsewhere" / "model.safetensors")
    assert train("--init", str(tmp_path / "elsewhere"), "--steps", "2", out=tmp_path / "third") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "third").exists()


def test_a_run_in_which_nothing_was_trained_may_be_asked_for_anew(train: Train, run: Path, tmp_path: Path) -> None:
    """It was killed while features were computed, for example."""
    (tmp_path / "young").mkdir()
    write_json(tmp_path / "young" / "run.json", read_json(run / "run.json"))
    assert train("--steps", "1", "--set", "learning_rate=1e-5", out=tmp_path / "young") == 0
    assert read_json(tmp_path / "young" / "run.json")["settings"]["learning_rate"] == 1e-5
    assert train("--steps", "1", "--set", "learning_rate=1e-4", out=tmp_path / "young") == 2


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize("when", ["parts are loaded", "features are computed", "the first step is taken"])
def test_nothing_is_left_of_a_run_that_was_refused(
    when: str, train: Train, own_parts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the next call, with the right parts, is none of another run."""
    parts = ["--vision-model", str(own_parts["clip"]), "--set", "freeze_vision=true", "--cache-features", "--set", "report_to=tensorboard"]
    command = [*parts, "--language-model", str(own_parts["llama"]), "--steps", "1"]
    weights = own_parts["llama"] / "model.safetensors"
    whole = weights.read_bytes()
    with monkeypatch.context() as patched:
        if when == "parts are loaded":
            truncate(weights)
        elif when == "features are computed":
            patched.setattr(FeatureCache, "fill", raising(UserError("there is no room for features")))
        else:
            patched.setattr(IGLLM, "forward", raising(torch.OutOfMemoryError("CUDA out of memory")))
        assert train(*command) == 2
    assert not (tmp_path / "run").exists()
    weights.write_bytes(whole)
    other = ["--language-model", str(own_parts["qwen2"])] if when == "the first step is taken" else command[-4:-2]
    assert train(*parts, *other, "--steps", "1") == 0


def raising(error: Exception) -> Callable[..., None]:
    """A function that raises an error."""

    def call(*_: object, **__: object) -> None:
        raise error

    return call


def test_no_more_loaders_than_cores(train: Train, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder) -> None:
    counts = []
    usual = torch.utils.data.DataLoader.__init__

    def noted(self, *arguments, **keywords):
        counts.append(keywords["num_workers"])
        usual(self, *arguments, **keywords)

    monkeypatch.setattr("model.training.run.available_cores", lambda: [0, 1])
    monkeypatch.setattr(torch.utils.data.DataLoader, "__init__", noted)
    assert train("--steps", "1", "--set", "loaders=64") == 0
    assert set(counts) == {2}
    assert not [warning for warning in recwarn if "worker processes" in str(warning.message)]


def test_a_checkpoint_from_a_gpu_is_taken_up_on_a_cpu(train: Train, run: Path, two_steps: Path, tmp_path: Path) -> None:
    """There the optimizer steps in one kernel for all parameters, and its state says so."""
    shutil.copytree(two_steps, tmp_path / "other")
    checkpoint = run / "checkpoint-2"
    state = torch.load(checkpoint / "optimizer.pt", weights_only=True)
    for group in state["param_groups"]:
        group["fused"] = True
    torch.save(state, checkpoint / "optimizer.pt")
    digests = read_json(checkpoint / "whole.json")
    write_json(checkpoint / "whole.json", digests | {"optimizer.pt": file_sha256(checkpoint / "optimizer.pt")})
    for out in (run, tmp_path / "other"):
        assert train("--steps", "3", out=out) == 0
    ours, other = (load_file(out / "model.safetensors") for out in (run, tmp_path / "other"))
    assert all(torch.equal(ours[name], other[name]) for name in other)
