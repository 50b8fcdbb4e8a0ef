"""What a training step computes, in floating-point operations (FLOPs), and what a device can do at best.

Model FLOPs are those that the model asks for, however it is computed: activations that are computed twice to save memory count once
(Chowdhery et al. 2022, PaLM, appendix B). Of the language model and the projector, each weight of a matrix costs 2 FLOPs a token forwards,
2 more if gradients pass through it and 2 more if it is trained (Kaplan et al. 2020): 6 N a token for N trained weights, 4 N for frozen ones
under adapters. Embeddings cost none, and the output embedding counts for the labelled tokens alone, since logits are formed of no others.
Attention costs 2 T D for each of a token's two products with T tokens of width D, half of it behind a causal mask, and twice that again
backwards. The tower's forward pass is what torch's own counter finds for one image; frozen, it counts once (2 N a patch), trained thrice.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from model.igllm import IGLLM

PRODUCT = {"cuda": 8192, "cpu": 1024}
"""Rows of the square matrices of the product that a device is measured by."""


@dataclass(frozen=True)
class Cost:
    """A sample's tokens in the language model, and its FLOPs: of matrices, of logits, of attention, and of the tower."""

    tokens: float
    matrices: float
    logits: float
    attention: float
    tower: float

    @property
    def flops(self) -> float:
        return self.matrices + self.logits + self.attention + self.tower


def cost_of(model: IGLLM, *, text: float, labelled: float, cached: bool = False) -> Cost:
    """The cost of training on a sample whose text has ``text`` tokens, ``labelled`` of which are learnt. ``cached``: without the tower."""
    cells = model.tower.rows * model.tower.columns
    tokens = len(model.config.prefix_token_ids) + cells + text
    language, config = model.language_model, model.config.text_config
    embedding = [p for p in language.parameters() if p.shape[0] == config.vocab_size]  # one or two, of the input and the output
    between = [p for p in language.parameters() if p.ndim >= 2 and p.shape[0] != config.vocab_size]
    width = config.num_attention_heads * (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    return Cost(
        tokens,
        matrices=tokens * sum(map(_of_weight, between)) + cells * _of_weight(model.projector.weight),
        logits=labelled * _of_weight(embedding[-1]),
        # Two products, forwards and twice that backwards, with half of all tokens in the mean.
        attention=3 * 2 * 2 * tokens * (tokens / 2) * width * config.num_hidden_layers,
        tower=0.0 if cached else tower_flops(model) * (1 if model.config.freeze_vision else 3),
    )


def tower_flops(model: IGLLM) -> float:
    """The FLOPs of the tower's forward pass for one image, which is run once."""
    at = next(model.tower.parameters())
    image = torch.zeros(1, 3, model.config.image_height, model.config.image_width, device=at.device, dtype=at.dtype)
    training = model.tower.training
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.tower.eval()(image)
    model.tower.train(training)
    return float(counter.get_total_flops())


def _of_weight(weight: torch.Tensor) -> float:
    """The FLOPs per token of a weight that gradients pass through."""
    return float(weight.numel() * (6 if weight.requires_grad else 4))


def measured_product(device: torch.device, seconds: float = 1.0) -> float:
    """The FLOPs a second of a product of two square bfloat16 matrices (`PRODUCT`) on a device, as often as it is done in ``seconds``."""
    side = PRODUCT.get(device.type, PRODUCT["cpu"])
    one, other = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(2):
        one @ other
    wait(device)
    begin, times = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        for _ in range(8 if device.type == "cuda" else 1):
            one @ other
            times += 1
        wait(device)
    return times * 2 * side**3 / (time.perf_counter() - begin)


def wait(device: torch.device) -> None:
    """Wait until a device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
