"""A model that writes what it sees: places in the image, and a header with camera and lamps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from datagen.code.grammar import parse_code
from datagen.domains.registry import get_domain
from datagen.samples.draw import draw
from datagen.samples.settings import DatasetSettings
from datagen.scene import Scene
from model.build import build
from model.coverage import Coverage
from model.igllm import IGLLM
from model.parts.dense_head import ContextReader, Grid, cell_of
from model.prediction.decode import decode
from model.preset import Preset, get_preset
from model.tokens.codec import CodeCodec
from model.tokens.pieces import Slot
from model.tokens.prompts import prompt_tokens

CLEVR = get_domain("clevr")
DRAWN = [draw(DatasetSettings(camera_jitter=1.5, seed=7), index) for index in range(6)]
SMALL = {"hidden_sizes": [16, 24], "embedding_size": 16, "depths": [1, 1], "model_type": "resnet", "layer_type": "basic"}
TEXT = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}


def preset(**changes: object) -> Preset:
    seeing = {"places": "image", "shot_in_code": True, "dense_reader": "context", "vision_merge": 2, "vision": SMALL, "text": TEXT}
    return get_preset("tiny").replaced(**{**seeing, "image_height": 64, "image_width": 80, **changes})


@pytest.fixture(scope="module")
def made() -> tuple[IGLLM, CodeCodec]:
    torch.manual_seed(0)
    return build(preset(), CLEVR)


def written(codec: CodeCodec, index: int) -> Scene:
    return codec.dialect.written(DRAWN[index].scene, DRAWN[index].shot)


def test_code_begins_with_camera_and_lamps_and_comes_back(made: tuple[IGLLM, CodeCodec]) -> None:
    _, codec = made
    for index, drawn in enumerate(DRAWN):
        encoded = codec.encode_written(written(codec, index))
        assert len(encoded.ids) <= codec.max_tokens
        code = codec.decode(encoded.ids, encoded.values)
        assert [line.partition("(")[0] for line in code.splitlines()[:5]] == ["camera", "lamp", "lamp", "lamp", "add"]
        scene = parse_code(code, CLEVR)
        for one, other in zip(scene.objects, drawn.scene.objects, strict=True):
            assert np.linalg.norm(np.subtract(one["loc"], other["loc"])) < 0.005
        assert scene.header[0]["loc"] == pytest.approx(drawn.shot.viewpoint.location, abs=0.002)
        with_header = drawn.scene.with_objects(drawn.scene.objects)
        again = codec.encode(replace(with_header, header=CLEVR.header_of(drawn.shot)))
        assert (again.ids, again.slots) == (encoded.ids, encoded.slots)


def test_every_number_of_the_header_has_a_slot_of_its_own(made: tuple[IGLLM, CodeCodec]) -> None:
    model, codec = made
    encoded = codec.encode_written(written(codec, 0))
    slots = [slot for slot in encoded.slots if slot >= 0]
    header = slots[: 8 + 3 * 4]
    assert len(set(header)) == len(header) == len(model.dense_head.layout.header)
    assert {codec.slots[slot].statement for slot in header} == {"camera", "lamp key", "lamp fill", "lamp back"}
    assert [slot.statement for slot in codec.slots[:4]] == ["add"] * 4  # as without a header, so that weights go on fitting


def test_distances_between_places_in_the_image_are_those_on_the_ground(made: tuple[IGLLM, CodeCodec]) -> None:
    _, codec = made
    coverage = Coverage.of(codec.dialect, codec.slots, torch.device("cpu"))
    assert coverage is not None
    for index, drawn in enumerate(DRAWN):
        encoded = codec.encode_written(written(codec, index))
        numbers, found = torch.zeros(1, len(codec.slots)), []
        for value, slot, obj in zip(encoded.values, encoded.slots, encoded.objects, strict=True):
            if slot >= 0:
                numbers[0, slot] = value
            if obj == len(found) and slot == 2:
                found.append(coverage.metric(numbers[:, None, coverage.slots], numbers)[0, 0])
        places = torch.tensor([obj["loc"][:2] for obj in drawn.scene.objects])
        assert torch.allclose(torch.pdist(torch.stack(found)), torch.pdist(places), atol=0.005)


def test_a_fixed_camera_is_the_domain_s(made: tuple[IGLLM, CodeCodec]) -> None:
    _, codec = build(preset(shot_in_code=False), CLEVR)
    scene = DRAWN[0].scene
    encoded = codec.encode(scene)
    assert parse_code(codec.decode(encoded.ids, encoded.values), CLEVR).header == ()
    coverage = Coverage.of(codec.dialect, codec.slots, torch.device("cpu"))
    seen = codec.dialect.written(scene).objects
    values = torch.tensor([[[codec.slots[i].normalise(codec.slots[i].value(obj)) for i in range(3)] for obj in seen]])
    found = coverage.metric(values, torch.zeros(1, len(codec.slots)))[0]
    places = torch.tensor([obj["loc"][:2] for obj in scene.objects])
    assert torch.allclose(torch.pdist(found), torch.pdist(places), atol=0.005)


def test_whatever_an_untrained_model_writes_is_a_scene_with_a_camera(made: tuple[IGLLM, CodeCodec]) -> None:
    model, codec = made
    images = torch.randn(3, 3, 64, 80, generator=torch.Generator().manual_seed(1))
    for decoded in decode(model, codec, images, prompt_tokens(codec.tokenizer).asked[0]):
        scene = parse_code(decoded.code, CLEVR)
        CLEVR.check(scene)
        assert len(scene.header) == 4
        assert len(decoded.confidence) == len(scene)


def test_a_context_reader_learns_where_and_what_and_how_sure() -> None:
    """Of patches that hold a place within the cell, a word, and for the image as a whole a camera's number. One kind of patch is noise."""
    torch.manual_seed(0)
    layout = build(preset(), CLEVR)[0].dense_head.layout
    grid = Grid(2, 3, 2, 64, 96)
    reader = ContextReader(12, layout, grid)
    optimizer = torch.optim.Adam(reader.parameters(), 0.01)
    cells = len(grid.centres())

    def batch(size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        inside, vague = torch.rand(size, cells, 2) - 0.5, (torch.arange(cells) % 2).expand(size, -1)
        numbers = torch.zeros(size, cells, layout.numbers)
        numbers[..., :2] = grid.centres() + inside * grid.cell
        words = torch.zeros(size, cells, 1 + len(layout.words), dtype=torch.long)
        words[..., 0] = 1
        words[..., 1] = torch.randint(layout.words[0], (size, cells))
        image = torch.rand(size, len(layout.header)) - 0.5
        shown = inside * (1 - vague)[..., None]
        named = torch.nn.functional.one_hot(words[..., 1], layout.words[0])
        patches = torch.cat([shown, vague[..., None], named, image[:, None, :1].expand(-1, cells, -1)], -1)
        known = image.index_fill(1, torch.arange(1, len(layout.header)), torch.nan)
        return patches.unflatten(1, (-1, 4)).flatten(2), numbers, words, known

    for _ in range(400):
        optimizer.zero_grad()
        reader.loss(*batch(8)).backward()
        optimizer.step()
    seen, numbers, words, image = batch(64)
    read = reader.read_out(seen)
    off = (read.values[..., :2] - numbers[..., :2]).abs() / grid.cell
    clear, vague = off[:, ::2].mean().item(), off[:, 1::2].mean().item()
    assert clear < 0.06
    assert vague > 0.2  # of a cell's width; a quarter is what guessing gives
    expected = read.log_spreads[..., :2].exp() / grid.cell
    assert expected[:, 1::2].mean().item() == pytest.approx(vague, rel=0.2)
    assert expected[:, ::2].mean().item() < 0.1
    assert (read.words[..., : layout.words[0]].argmax(-1) == words[..., 1]).float().mean() > 0.99
    header = read.values[:, 0, len(layout.slots)]
    assert (header - image[:, 0]).abs().mean() < 0.05
    assert torch.equal(read.values[:, 0, len(layout.slots) :], read.values[:, 5, len(layout.slots) :])


@pytest.mark.parametrize(("rows", "columns", "split", "height", "width"), [(2, 3, 2, 64, 96), (3, 2, 1, 96, 64), (4, 5, 2, 128, 160)])
def test_the_centre_of_a_cell_lies_in_it(rows: int, columns: int, split: int, height: int, width: int) -> None:
    grid = Grid(rows, columns, split, height, width)
    half = max(height, width) / 2
    for cell, (x, y) in enumerate(grid.centres().tolist()):
        assert cell_of((x * half + width / 2) / width, (height / 2 - y * half) / height, rows, columns, split) == cell


def test_a_saved_model_reads_as_before(made: tuple[IGLLM, CodeCodec], tmp_path: Path) -> None:
    model, _ = made
    model.eval().save_pretrained(tmp_path)
    images = torch.randn(2, 3, 64, 80, generator=torch.Generator().manual_seed(2))
    again = IGLLM.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        one, other = (each.read_cells(each.see(images)) for each in (model, again))
    assert torch.equal(one.values, other.values)
    assert torch.equal(one.log_spreads, other.log_spreads)


def test_places_in_the_image_are_relative_to_their_cell(made: tuple[IGLLM, CodeCodec]) -> None:
    slots: tuple[Slot, ...] = made[0].dense_head.layout.slots
    assert [slot.in_image for slot in slots] == [True, True, False, False]
    assert not any(slot.in_image for slot in build(get_preset("tiny").replaced(text=TEXT), CLEVR)[0].slots)
