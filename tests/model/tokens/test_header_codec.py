"""Code that begins with camera and lamps, in the tokens of every kind of tokenizer and for every domain with a camera."""

from dataclasses import replace

import numpy as np
import pytest
from language_tokenizers import KINDS

from datagen.code.grammar import parse_code, write_code
from datagen.domains.dialects import dialect
from datagen.domains.registry import get_domain
from datagen.domains.staged import StagedDomain
from datagen.errors import UserError
from datagen.samples.draw import draw
from datagen.samples.settings import DatasetSettings
from datagen.scene import Scene
from model.config import PROMPT
from model.tokens.codec import CodeCodec
from model.tokens.tokenizer import domain_tokenizer

STAGED = ("clevr", "assets", "so3", "pose6d")
SCENES = {name: draw(DatasetSettings(domain=name, seed=9, shot_in_code=True), 2).scene for name in STAGED}


def staged(name: str) -> StagedDomain:
    domain = get_domain(name)
    assert isinstance(domain, StagedDomain)
    return domain


def followed(codec: CodeCodec, ids: list[int]) -> int:
    """The state in which the grammar is after these tokens; KeyError where it does not allow one."""
    state = codec.begin
    for token in ids:
        state = codec.automaton.arcs[state][token].target
    return state


@pytest.mark.parametrize("numbers", ["head", "char"])
@pytest.mark.parametrize("kind", ["words", *KINDS])
@pytest.mark.parametrize("name", STAGED)
def test_a_scene_with_its_shot_survives_the_tokens(name: str, kind: str, numbers: str) -> None:
    domain, scene = staged(name), SCENES[name]
    tokenizer = domain_tokenizer(dialect(domain, header=True), [PROMPT]) if kind == "words" else KINDS[kind]()
    codec = CodeCodec(domain, tokenizer, numbers, header=True)
    encoded = codec.encode(scene)
    assert codec.decode(encoded.ids, encoded.values) == write_code(scene, domain)
    assert followed(codec, encoded.ids) == codec.ended
    assert len(encoded.ids) <= codec.max_tokens
    assert [number for number in encoded.objects if number >= 0] == sorted(number for number in encoded.objects if number >= 0)


@pytest.mark.parametrize("name", STAGED)
def test_a_scene_as_it_is_seen_survives_the_tokens(name: str) -> None:
    domain, scene = staged(name), SCENES[name]
    codec = CodeCodec(domain, domain_tokenizer(dialect(domain, places="image", header=True), [PROMPT]), places="image", header=True)
    encoded = codec.encode(scene)
    assert followed(codec, encoded.ids) == codec.ended
    again = parse_code(codec.decode(encoded.ids, encoded.values), domain)
    for one, other in zip(scene.objects, again.objects, strict=True):
        assert np.linalg.norm(np.subtract(domain.location(one), domain.location(other))) < 0.005
        assert (domain.rotation_error(one, other) or 0.0) <= 0.11
    assert [obj.statement for obj in again.header] == [obj.statement for obj in scene.header]


def test_no_object_can_be_said_before_camera_and_lamps_are() -> None:
    domain = staged("clevr")
    codec = CodeCodec(domain, domain_tokenizer(dialect(domain, header=True), [PROMPT]), header=True)
    scene = SCENES["clevr"]
    with pytest.raises(UserError, match="does not say where its camera and lamps are"):
        codec.encode(Scene("clevr", scene.objects))
    with pytest.raises(UserError, match="does not say where its camera and lamps are"):
        codec.encode(replace(scene, header=scene.header[:-1]))
    encoded = codec.encode(scene)
    first = encoded.objects.index(0)
    with pytest.raises(KeyError):
        followed(codec, encoded.ids[first:])
    with pytest.raises(KeyError):
        followed(codec, [*encoded.ids[:-1], *encoded.ids[:first]])


def test_a_codec_without_a_header_leaves_it_out() -> None:
    domain = staged("clevr")
    codec = CodeCodec(domain, domain_tokenizer(dialect(domain), [PROMPT]))
    scene = SCENES["clevr"]
    assert codec.decode(*(codec.encode(scene).ids, codec.encode(scene).values)) == write_code(Scene("clevr", scene.objects), domain)
