"""Scenes as tokens and back, and the grammar on token ids."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from declarations import declared
from hypothesis import given
from hypothesis import strategies as st
from language_tokenizers import KINDS, byte_level, sentence_piece_unigram
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from datagen.code.grammar import parse_code, write_code, write_object
from datagen.code.statements import Choice, Number, Statement
from datagen.domains.clevr import CLEVR, Clevr
from datagen.domains.dialects import Dialect
from datagen.domains.registry import DOMAINS
from datagen.errors import UserError
from datagen.scene import Object, Scene
from model.config import PROMPT
from model.tokens.automaton import START
from model.tokens.codec import NUM, CodeCodec, Style
from model.tokens.prompts import prompt_tokens
from model.tokens.tokenizer import domain_tokenizer


class Whole(Clevr):
    """A domain of whole numbers, below zero too, and of two statements."""

    def canonical_object(self, obj: Object) -> Object:
        numbers = self.statement(obj.statement).numbers
        return obj.replaced(**{number.name: number.rounded(obj[number.name]) for number in numbers})

    def order(self, obj: Object) -> tuple[float, ...]:
        return ()


WHOLE = Whole(
    **declared(
        CLEVR,
        name="whole",
        statements=(
            Statement("turn", (Number("angle", (-180.0, 0.0), (180.0, 90.0), 0, "degrees"), Choice("color", ("red", "redder")))),
            Statement("turntable", (Number("height", (-12.0,), (9.0,), 0, "m"),)),
        ),
    )
)
TOKENIZERS = {"words": lambda: domain_tokenizer(Dialect(CLEVR), [PROMPT]), **KINDS}
CODECS = {
    **{f"{kind}, {numbers}": CodeCodec(CLEVR, make(), numbers) for kind, make in TOKENIZERS.items() for numbers in ("head", "char")},
    **{f"whole numbers, {numbers}": CodeCodec(WHOLE, domain_tokenizer(WHOLE, [PROMPT]), numbers) for numbers in ("head", "char")},
}
every_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
DECIMALS = st.floats(allow_nan=True, allow_infinity=True)


@st.composite
def canonical_scenes(draw: st.DrawFn, domain: Any) -> Scene:
    """Any canonical scene of a domain."""
    objects = []
    for _ in range(draw(st.integers(0, 10))):
        statement = draw(st.sampled_from(domain.statements))
        values: dict[str, Any] = {}
        for argument in statement.arguments:
            if isinstance(argument, Choice):
                values[argument.name] = draw(st.sampled_from(argument.words))
            else:
                values[argument.name] = argument.as_value(
                    [draw(st.floats(lo, hi)) for lo, hi in zip(argument.low, argument.high, strict=True)]
                )
        objects.append(Object(statement.name, values))
    return domain.canonical(Scene(domain.name, tuple(objects)))


@every_codec
@given(data=st.data())
def test_a_scene_survives_the_tokens(codec: CodeCodec, data: st.DataObject) -> None:
    scene = data.draw(canonical_scenes(codec.domain))
    encoded = codec.encode(scene)
    assert codec.decode(encoded.ids, encoded.values) == write_code(scene, codec.domain)
    assert [slot >= 0 for slot in encoded.slots] == [codec.numbers == "head" and token == codec.num for token in encoded.ids]
    assert len(encoded.ids) <= codec.max_tokens


@every_codec
@given(data=st.data())
def test_the_grammar_allows_what_is_true(codec: CodeCodec, data: st.DataObject) -> None:
    state = START
    encoded = codec.encode(data.draw(canonical_scenes(codec.domain)))
    table = codec.table
    for token, slot in zip(encoded.ids, encoded.slots, strict=True):
        assert codec.slot_at[state] == slot
        arc = codec.automaton.arcs[state][token]
        column = table.tokens[state].tolist().index(token)
        assert table.allowed[state].sum() == len(codec.automaton.arcs[state])
        assert table.allowed[state, column]
        assert table.targets[state, column] == arc.target
        state = arc.target
    assert state == codec.ended
    assert list(codec.automaton.arcs[state]) == [codec.end]  # nothing follows the end


@every_codec
def test_a_forced_run_is_all_that_can_be_said(codec: CodeCodec) -> None:
    table, arcs = codec.table, codec.automaton.arcs
    for state in range(len(arcs)):
        length = table.run_length[state]
        states, tokens = table.run_states[state, : length + 1].tolist(), table.run_tokens[state, :length].tolist()
        assert states[0] == state
        for at, token, target in zip(states[:-1], tokens, states[1:], strict=True):
            assert at != START
            assert codec.slot_at[at] < 0
            assert {t: arc.target for t, arc in arcs[at].items()} == {token: target}
        end = states[-1]
        assert len(arcs[end]) > 1 or end in (START, codec.ended) or codec.slot_at[end] >= 0


@every_codec
@given(seed=st.integers(0, 2**32), values=st.lists(DECIMALS, min_size=1))
def test_whatever_the_grammar_allows_parses(codec: CodeCodec, seed: int, values: list[float]) -> None:
    """Random walks through the automaton, with any number a head may give."""
    rng = np.random.default_rng(seed)
    state, ids, text, lines = START, [], "", 0
    while lines < 3 and state != codec.ended:
        ids.append(int(rng.choice(list(codec.automaton.arcs[state]))))
        arc = codec.automaton.arcs[state][ids[-1]]
        text, state = text + arc.text, arc.target
        lines += state == START
    scene = parse_code(codec.decode(ids, [values[i % len(values)] for i in range(len(ids))]), codec.domain)
    assert len(scene) == lines
    assert all(math.isfinite(x) for obj in scene for n in codec.domain.statement(obj.statement).numbers for x in n.as_tuple(obj[n.name]))
    if codec.numbers == "char":  # numbers have one spelling
        assert text == "".join(write_object(obj, codec.domain) + "\n" for obj in parse_code(text, codec.domain))


@pytest.mark.parametrize("numbers", ["head", "char"])
@pytest.mark.parametrize("kind", KINDS)
def test_code_is_cut_as_in_the_middle_of_a_text(kind: str, numbers: str) -> None:
    """The tokens decode to the code, without the space that some tokenizers put at the beginning of a text."""
    codec = CODECS[f"{kind}, {numbers}"]
    scene = parse_code('add(loc=(1.5, -0.25, 0.7), color="red", material="metal", size="large", shape="cube", rotation=9.5)', CLEVR)
    text = codec.tokenizer.decode(codec.encode(scene).ids[:-1])
    expected = re.sub(r"-?\d+\.\d+", NUM if numbers == "head" else r"\g<0>", write_code(scene, CLEVR))
    assert text == expected


def test_the_value_written_is_the_heads_to_the_declared_precision() -> None:
    codec = CODECS["words, head"]
    scene = parse_code('add(loc=(0, 0, 0), color="red", material="metal", size="large", shape="cube", rotation=0)', CLEVR)
    encoded = codec.encode(scene)
    places = [i for i, slot in enumerate(encoded.slots) if slot >= 0]
    encoded.values[places[0]], encoded.values[places[1]] = 0.00049999999 / 3, -0.0004999 / 3  # not rounded twice; no negative zero
    encoded.values[places[3]] = 89.97 / 45 - 1
    assert "loc=(0.000, 0.000, 0.000)" in codec.decode(encoded.ids, encoded.values)
    assert codec.decode(encoded.ids, encoded.values).endswith("rotation=0.0)\n")  # 90.0 is 0 to a cube


@pytest.mark.parametrize("text", ["-0.000", "00.500", "+1.000", "1.00", "1.0000", "10.000", "1", ".500"])
def test_other_spellings_of_a_number_are_not_in_the_grammar(text: str) -> None:
    codec = CODECS["words, char"]
    state: int | None = START
    for piece in ["add(loc=(", *text, ", "]:
        (token,) = codec.tokenizer.encode(piece, add_special_tokens=False)
        arc = codec.automaton.arcs[state].get(token) if state is not None else None
        state = None if arc is None else arc.target
    assert state is None


def test_a_number_that_cannot_be_spelled_is_refused() -> None:
    far = parse_code('add(loc=(12, 0, 0), color="red", material="metal", size="large", shape="cube", rotation=0)', CLEVR)
    assert CODECS["words, head"].encode(far)
    with pytest.raises(UserError, match=r"loc 12\.000"):
        CODECS["words, char"].encode(far)


def test_numbers_as_text_need_no_num_token() -> None:
    codec = CodeCodec(CLEVR, byte_level(num=False), "char")
    assert (codec.slot_at == -1).all()


@pytest.mark.parametrize("codec", [CODECS[name] for name in ("words, head", "byte level, char", "sentence piece, head")])
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_code_in_another_style_means_the_same(codec: CodeCodec, data: st.DataObject, seed: int) -> None:
    """The decoded tokens are code of the same scene, once synonyms are replaced back and `[NUM]` by the values."""
    scene = data.draw(canonical_scenes(CLEVR))
    styled = codec.encode(scene, Style(np.random.default_rng(seed), shuffle=True, synonyms=True))
    assert styled == codec.encode(scene, Style(np.random.default_rng(seed), shuffle=True, synonyms=True))
    text = codec.tokenizer.decode(styled.ids[:-1])
    for value, slot in zip(styled.values, styled.slots, strict=True):
        if slot >= 0:
            text = text.replace(NUM, codec.slots[slot].text(codec.slots[slot].denormalise(value)), 1)
    for word, synonyms in CLEVR.synonyms.items():
        text = re.sub("|".join(f'"{synonym}"' for synonym in synonyms), f'"{word}"', text)
    assert write_code(parse_code(text, CLEVR), CLEVR) == write_code(scene, CLEVR)


def test_styles_are_what_they_say() -> None:
    codec = CODECS["words, head"]
    line = 'add(loc=(1.5, -0.25, 0.7), color="red", material="metal", size="large", shape="cube", rotation=9.5)\n'
    scene = parse_code(line * 200, CLEVR)

    def written(**style: bool) -> list[str]:
        return codec.tokenizer.decode(codec.encode(scene, Style(np.random.default_rng(0), **style)).ids[:-1]).splitlines()

    plain = codec.tokenizer.decode(codec.encode(scene).ids[:-1]).splitlines()
    assert written() == plain
    assert {re.sub(r'size="(large|big)", shape="(cube|block)"', "", t) for t in written(synonyms=True)} == {
        t.replace("metal", m).replace('size="large", shape="cube"', "") for t in plain for m in ("metal", "metallic", "shiny")
    }
    orders = {tuple(re.findall(r"(\w+)=", t)) for t in written(shuffle=True)}
    assert len(orders) > 100
    assert {tuple(sorted(order)) for order in orders} == {("color", "loc", "material", "rotation", "shape", "size")}


def test_the_small_tokenizer_cuts_whole_code_as_the_codec_does() -> None:
    codec = CODECS["words, head"]
    code = 'add(loc=([NUM], [NUM], [NUM]), color="cyan", material="metal", size="large", shape="cube", rotation=[NUM])\n'
    ids = codec.tokenizer.encode(code, add_special_tokens=False)
    assert codec.tokenizer.decode(ids) == code
    scene = parse_code(code.replace("[NUM]", "0"), CLEVR)
    assert ids == codec.encode(scene).ids[:-1]
    assert len(ids) == 13


def test_prompts_have_no_unknown_words() -> None:
    prompts = [PROMPT, "Write this scene, object by object, as code.", "2.5-D scenes?"]
    tokenizer = domain_tokenizer(Dialect(CLEVR), prompts)
    for prompt in prompts:
        [ids] = prompt_tokens(tokenizer, [prompt]).asked
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == prompt


def test_tokenizers_that_cannot_do_it_are_refused() -> None:
    plain = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()), eos_token="</s>")
    with pytest.raises(UserError, match=r"\[NUM\]"):
        CodeCodec(CLEVR, plain)
    for numbers in ("head", "char"):
        with pytest.raises(UserError, match="cannot write"):
            CodeCodec(CLEVR, sentence_piece_unigram(byte_fallback=False), numbers)


def test_the_grammar_stays_small_beside_a_large_vocabulary() -> None:
    tokenizer = byte_level()
    tokenizer.add_tokens([f"word{i}" for i in range(20_000)])
    table = CodeCodec(CLEVR, tokenizer, "char").table
    assert sum(array.nbytes for array in vars(table).values()) < 300_000


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
def test_normalised_units_span_the_declared_range(domain: Any) -> None:
    codec = CodeCodec(domain, domain_tokenizer(Dialect(domain), [PROMPT]))
    for slot in codec.slots:
        assert (slot.normalise(slot.low), slot.normalise(slot.high)) == (-1.0, 1.0)
        assert slot.denormalise(slot.normalise(0.3 * slot.low + 0.7 * slot.high)) == pytest.approx(0.3 * slot.low + 0.7 * slot.high)
