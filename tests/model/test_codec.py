"""Scenes as tokens and back, and the grammar on token ids."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from datagen.code import parse_code, write_code
from datagen.domain import Choice
from datagen.domains import DOMAINS, get_domain
from datagen.errors import UserError
from datagen.scene import Object, Scene
from model.codec import DEAD, NUM, CodeCodec
from model.config import PROMPT
from model.tokens import domain_tokenizer, prompt_ids

CLEVR = get_domain("clevr")


def byte_pair_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that learnt a little English and no code, as a language model's would."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    trainer = BpeTrainer(vocab_size=400, special_tokens=["<s>", "</s>", "<pad>"], initial_alphabet=ByteLevel.alphabet())
    tokenizer.train_from_iterator(["the large metal cube and the small rubber sphere are added to the scene"] * 4, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    fast.add_special_tokens({"additional_special_tokens": [NUM]})
    return fast


CODECS = {"words": CodeCodec(CLEVR, domain_tokenizer(CLEVR, PROMPT)), "byte pairs": CodeCodec(CLEVR, byte_pair_tokenizer())}


@st.composite
def canonical_scenes(draw: st.DrawFn) -> Scene:
    """Any canonical CLEVR scene."""
    objects = []
    for _ in range(draw(st.integers(0, 10))):
        values: dict[str, Any] = {}
        for argument in CLEVR.statements[0].arguments:
            if isinstance(argument, Choice):
                values[argument.name] = draw(st.sampled_from(argument.words))
            else:
                values[argument.name] = argument.as_value(
                    [draw(st.floats(lo, hi)) for lo, hi in zip(argument.low, argument.high, strict=True)]
                )
        objects.append(Object("add", values))
    return CLEVR.canonical(Scene("clevr", tuple(objects)))


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@given(scene=canonical_scenes())
def test_a_scene_survives_the_tokens(codec: CodeCodec, scene: Scene) -> None:
    encoded = codec.encode(scene)
    assert codec.decode(encoded.ids, encoded.values) == write_code(scene, CLEVR)
    assert [slot >= 0 for slot in encoded.slots] == [token == codec.num for token in encoded.ids]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@given(scene=canonical_scenes())
def test_the_grammar_allows_what_is_true(codec: CodeCodec, scene: Scene) -> None:
    state = 0
    encoded = codec.encode(scene)
    for token, slot in zip(encoded.ids, encoded.slots, strict=True):
        assert codec.slot_at[state] == slot
        state = int(codec.next_state[state, token])
        assert state != DEAD
    assert not (codec.next_state[state] != DEAD).any()  # the end is the end


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@given(data=st.data())
def test_whatever_the_grammar_allows_parses(codec: CodeCodec, data: st.DataObject) -> None:
    """Random walks through the automaton, with any number a head may give."""
    state, ids, values = 0, [], []
    for _ in range(3):
        while True:
            token = data.draw(st.sampled_from([int(t) for t in (codec.next_state[state] != DEAD).nonzero()[0]]))
            ids.append(token)
            values.append(data.draw(st.floats(allow_nan=True, allow_infinity=True)) if token == codec.num else 0.0)
            if token == codec.end:
                break
            state = int(codec.next_state[state, token])
            if state == 0:
                break
        if token == codec.end:
            break
    scene = parse_code(codec.decode(ids, values), CLEVR)
    assert all(math.isfinite(x) for obj in scene for x in obj["loc"])


def test_the_small_tokenizer_cuts_whole_code_as_the_codec_does() -> None:
    codec = CODECS["words"]
    code = 'add(loc=([NUM], [NUM], [NUM]), color="cyan", material="metal", size="large", shape="cube", rotation=[NUM])\n'
    assert codec.tokenizer.decode(codec.tokenizer.encode(code, add_special_tokens=False)) == code
    assert len(codec.tokenizer.encode(code, add_special_tokens=False)) == 13


def test_a_prompt_has_no_unknown_words() -> None:
    tokenizer = domain_tokenizer(CLEVR, PROMPT)
    ids = prompt_ids(tokenizer, PROMPT)
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids[1:]) == PROMPT


def test_a_tokenizer_without_num_is_refused() -> None:
    plain = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()), eos_token="</s>")
    with pytest.raises(UserError, match=r"\[NUM\]"):
        CodeCodec(CLEVR, plain)


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
def test_normalised_units_span_the_declared_range(domain: Any) -> None:
    codec = CodeCodec(domain, domain_tokenizer(domain, PROMPT))
    for slot in codec.slots:
        low, high = slot.argument.low[slot.component], slot.argument.high[slot.component]
        assert (slot.normalise(low), slot.normalise(high)) == (-1.0, 1.0)
        assert slot.denormalise(slot.normalise(0.3 * low + 0.7 * high)) == pytest.approx(0.3 * low + 0.7 * high)
