"""A small, untrained model of the paper's architecture, with any kind of tokenizer, and images for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from language_tokenizers import KINDS
from transformers import AutoConfig

from datagen.code.grammar import parse_code
from datagen.domains.clevr import CLEVR
from datagen.domains.dialects import Dialect
from model.config import PROMPT, IGLLMConfig
from model.igllm import IGLLM
from model.prediction.decode import decode
from model.prediction.decoding import Decoding
from model.tokens.codec import NUM, CodeCodec
from model.tokens.pieces import word_texts
from model.tokens.tokenizer import domain_tokenizer

LINE = 'add(loc=(0, 0, 0), color="red", material="metal", size="large", shape="cube", rotation=0)'
FEW = replace(CLEVR, max_objects=3)
"""CLEVR with at most three objects, so that tests are short."""
TOKENIZERS = {"words": lambda: domain_tokenizer(Dialect(CLEVR), [PROMPT]), **KINDS}


class Recording(CodeCodec):
    """A codec that records the token ids and values that it decodes, by the resulting code."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.decoded_ids: dict[str, list[tuple[list[int], list[float]]]] = {}

    def decode(self, ids: list[int], values: list[float]) -> str:
        code = super().decode(ids, values)
        length = ids.index(self.end) + 1
        self.decoded_ids.setdefault(code, []).append((ids[:length], values[:length]))
        return code


@dataclass(frozen=True)
class Setting:
    """A small CLIP and a small LLaMA, whose random weights give confident predictions, and images to write the code of."""

    model: IGLLM
    codec: Recording
    images: torch.Tensor
    prompt: list[int]

    def decode(self, images: torch.Tensor | None = None, **settings):
        keys = settings.pop("keys", None)
        return decode(
            self.model, self.codec, self.images if images is None else images, self.prompt, decoding=Decoding(**settings), keys=keys
        )


def setting(tokenizer_kind: str, numbers: str, seed: int = 0, sharpness: float = 25.0, feedback: bool = True) -> Setting:
    """A new setting. ``numbers`` is head, char, or cells: a head that may also give the value of a cell of the dense read-out."""
    cells, numbers = numbers == "cells", numbers.replace("cells", "head")
    tokenizer = TOKENIZERS[tokenizer_kind]()
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = IGLLMConfig(
        vision_config=AutoConfig.for_model("clip_vision_model", image_size=32, patch_size=16, **layers),
        text_config=AutoConfig.for_model("llama", vocab_size=len(tokenizer), num_key_value_heads=2, **layers),
        image_height=32,
        image_width=32,
        num_token_id=tokenizer.convert_tokens_to_ids(NUM),
        numbers=numbers,
        number_feedback=feedback,
        number_cells=cells,
        word_token_ids=[tokenizer.encode(text, add_special_tokens=False)[0] for text in word_texts(CLEVR.statements[0])] if cells else [],
        dense_weight=float(cells),
        dense_split=2,
    )
    codec = Recording(FEW, tokenizer, numbers)
    torch.manual_seed(seed)
    model = IGLLM(config).eval()
    with torch.no_grad():
        words = model.language_model.get_output_embeddings().weight
        words.mul_(sharpness)
        begin = codec.encode(parse_code(LINE, CLEVR)).ids[0]
        words[tokenizer.eos_token_id] = words[begin] + 0.3 * torch.randn(32)  # to end is about as likely as to go on
        model.projector.weight.mul_(5)
        if model.number_feedback is not None:
            model.number_feedback.embed.weight.mul_(20)
        if cells:
            model.numeric_head.key.weight.mul_(100)  # so that some numbers come from the head, some from a cell
            model.dense_head.read.weight.mul_(8)  # so that cells show places all over the plane
    return Setting(model, codec, torch.randn(3, 3, 32, 32), tokenizer.encode(PROMPT, add_special_tokens=False))
