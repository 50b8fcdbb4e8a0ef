"""Weights from unknown sources: files and indexes are loaded whole and as they state, or refused with one message."""

from __future__ import annotations

import json
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from spoiled_parts import assert_equal, preset_on

from datagen.domains.clevr import CLEVR
from datagen.errors import UserError
from model.build import build
from model.load import WEIGHTS, load_model
from model.parts.pretrained import Base


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_weights_that_are_no_floating_point_numbers_are_refused(
    own_parts: dict[str, Path], canary: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    folder = Path(shutil.copytree(WEIGHTS / "tiny", tmp_path / "copy"))
    for where, name in ((own_parts["llama"], "model.layers.0.mlp.up_proj.weight"), (folder, "projector.weight")):
        weights = load_file(where / "model.safetensors")
        weights[name] = weights[name].to(dtype)
        save_file(weights, where / "model.safetensors", {"format": "pt"})
    message = r"model.safetensors: {} is of \w+ numbers; weights are read of F64, F32, F16, BF16"
    with pytest.raises(UserError, match=message.format("model.layers.0.mlp.up_proj.weight")):
        Base.named(str(own_parts["llama"])).extent()
    with pytest.raises(UserError, match=message.format("projector.weight")):
        load_model(folder, "cpu")


@pytest.mark.parametrize(
    ("part", "fields", "message"),
    [
        ("clip", {"num_hidden_layers": 2}, "its weights hold encoder.layers.2."),
        ("clip", {"patch_size": 32}, "describes embeddings.patch_embedding.weight as 32 x 3 x 32 x 32, but the weights' file holds"),
        ("clip", {"image_size": 32}, "describes embeddings.position_embedding.weight as 5 x 32, but the weights' file holds 17 x 32"),
        ("llama", {"num_hidden_layers": 2}, "its weights hold model.layers.2."),
        ("llama", {"intermediate_size": 32}, "mlp.down_proj.weight as 32 x 32, but the weights' file holds 32 x 64"),
    ],
)
def test_weights_are_all_taken_or_the_part_is_refused(
    own_parts: dict[str, Path], canary: Path, part: str, fields: dict[str, Any], message: str
) -> None:
    path = own_parts[part] / "config.json"
    stated = json.loads(path.read_text())
    within = stated.get("vision_config", stated)
    within |= fields
    path.write_text(json.dumps(stated))
    with pytest.raises(UserError, match=re.escape(message)) as raised:
        build(preset_on(own_parts), CLEVR)
    assert str(raised.value).startswith(str(own_parts[part]))


@pytest.mark.parametrize("harm", ["not there", "in the other file", "in both files", "not listed"])
def test_an_index_says_what_its_files_hold_no_more_and_no_less(own_parts: dict[str, Path], canary: Path, harm: str) -> None:
    folder = own_parts["llama"]
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    halves = [dict(list(weights.items())[i::2]) for i in range(2)]
    where = {weight: f"model-{i}.safetensors" for i, half in enumerate(halves) for weight in half}
    moved = min(halves[0])
    if harm == "not there":
        del halves[0][moved]
    elif harm == "not listed":
        del where[moved]
    elif harm == "in both files":
        halves[1][moved] = halves[0][moved] + 1
    else:
        halves[1][moved] = halves[0].pop(moved)
    for i, half in enumerate(halves):
        save_file(half, folder / f"model-{i}.safetensors", {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    with pytest.raises(UserError, match=f"{moved}.*they do not belong together"):
        Base.named(str(folder)).extent()


@pytest.mark.parametrize("named", ["../model.safetensors", "/etc/passwd", "gone.safetensors", "model.bin", 7, "a\nb.safetensors"])
def test_an_index_names_files_of_its_folder(own_parts: dict[str, Path], canary: Path, named: Any) -> None:
    weights = load_file(own_parts["llama"] / "model.safetensors")
    (own_parts["llama"] / "model.safetensors").rename(own_parts["llama"].parent / "model.safetensors")
    index = own_parts["llama"] / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(weights, named)}))
    with pytest.raises(UserError, match=r"model.safetensors.index.json: (weight_map )?names") as raised:
        build(preset_on(own_parts), CLEVR)
    assert "\n" not in str(raised.value)


def test_shards_and_links_are_read(own_parts: dict[str, Path], saved_parts: dict[str, Path], canary: Path) -> None:
    """As `save_pretrained` writes them, and the hub's cache links them."""
    folder = own_parts["llama"]
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    halves = {f"model-{i}-of-2.safetensors": dict(list(weights.items())[i::2]) for i in range(2)}
    (folder.parent / "blobs").mkdir()
    for name, half in halves.items():
        save_file(half, folder.parent / "blobs" / name, {"format": "pt"})
        (folder / name).symlink_to(folder.parent / "blobs" / name)
    where = {weight: name for name, half in halves.items() for weight in half}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    assert_equal(own_parts, saved_parts)


def header(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


def tensors(**stated: tuple[list[int], list[int]]) -> bytes:
    """A file of float32 tensors of those shapes and offsets, and eight bytes of data."""
    described = {name: {"dtype": "F32", "shape": shape, "data_offsets": offsets} for name, (shape, offsets) in stated.items()}
    return header(json.dumps(described).encode()) + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        header(b"{}", 2**62),
        header(b"{}", 2**64 - 1),
        header(b"[]"),
        header(b'{"a":{}}'),
        header(b'{"a":' + b"[" * 99_995),
        tensors(a=([10**12, 10**9], [0, 8])),
        tensors(a=([2], [0, 2**62])),
        tensors(a=([1], [0, 4]), b=([1], [2, 6])),
    ],
    ids=range(9),
)
def test_a_weights_file_that_is_none_is_one_message(own_parts: dict[str, Path], canary: Path, tmp_path: Path, content: bytes) -> None:
    (own_parts["llama"] / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        build(preset_on(own_parts), CLEVR)
    folder = Path(shutil.copytree(WEIGHTS / "tiny", tmp_path / "copy"))
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        load_model(folder, "cpu")
