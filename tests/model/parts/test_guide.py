"""The guided head's attention: the weights beside fused attention are those that eager attention has."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen2Config

from model.parts.guide import GUIDED, guided_attention, use_guided_attention

LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 9}
KINDS = {
    "LLaMA": LlamaConfig(**LAYERS),
    "grouped queries": Qwen2Config(**LAYERS, num_key_value_heads=2),
    "a window": Qwen2Config(**LAYERS, num_key_value_heads=2, use_sliding_window=True, sliding_window=4, max_window_layers=0),
    "GPT-2": GPT2Config(n_embd=32, n_layer=3, n_head=4, vocab_size=9),
}
START, TOKENS = 6, 5


def guided(config: object, how: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The guided head's attention and the states of a model with random weights, with eager attention or as models use it."""
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(deepcopy(config)).eval()
    if how == "eager":
        model.set_attn_implementation("eager")
    else:
        use_guided_attention(model)
        assert model.config._attn_implementation == GUIDED
    output = model.get_decoder()(inputs_embeds=torch.randn(2, 12, 32), output_attentions=True, use_cache=False)
    return guided_attention(output.attentions, START, TOKENS), output.last_hidden_state


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_are_those_of_eager_attention(kind: str) -> None:
    (eager, eager_states), (ours, states) = (guided(KINDS[kind], how) for how in ("eager", "guided"))
    assert ours.shape == (2, 12 - START, TOKENS)
    assert torch.allclose(ours, eager, atol=1e-5)
    assert torch.allclose(states, eager_states, atol=1e-5)


def test_the_other_layers_and_passes_without_the_guide_keep_no_weights() -> None:
    model = AutoModelForCausalLM.from_config(deepcopy(KINDS["LLaMA"])).eval()
    use_guided_attention(model)
    decoder, embedded = model.get_decoder(), torch.randn(1, 12, 32)
    with_guide = decoder(inputs_embeds=embedded, output_attentions=True).attentions
    assert [tuple(weights.shape) for weights in with_guide if weights is not None] == [(1, 1, 12, 12)]
    assert decoder(inputs_embeds=embedded).attentions is None


def test_a_model_that_knows_eager_attention_alone_keeps_it() -> None:
    model = AutoModelForCausalLM.from_config(deepcopy(KINDS["LLaMA"]), attn_implementation="eager")
    use_guided_attention(model)
    assert model.config._attn_implementation == "eager"
