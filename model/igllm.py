"""IG-LLM: a vision tower, a linear projector, a causal language model, and a numeric head, wired in one `forward`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import ModelOutput

from datagen.domains import get_domain
from model.codec import numeric_slots
from model.config import IGLLMConfig
from model.dense import DenseHead, DenseLayout
from model.numbers import NumberFeedback, NumericHead, number_loss
from model.tower import VisionTower

IGNORED = -100


@dataclass
class IGLLMOutput(ModelOutput):
    """``loss`` and its parts (scalars), and ``logits`` (batch, length, vocabulary): at t, what predicts token t."""

    loss: torch.Tensor | None = None
    token_loss: torch.Tensor | None = None
    number_loss: torch.Tensor | None = None
    dense_loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None


class IGLLM(PreTrainedModel):
    """Writes graphics code from an image (Kulits et al., TMLR 2024), composed of Hugging Face parts.

    The sequence is visual tokens, then text (prompt and code). A `[NUM]` token's value is read by the numeric head from the hidden state
    that predicts it, and, with ``config.number_feedback``, embedded back into the sequence.
    """

    config_class: ClassVar[type] = IGLLMConfig
    base_model_prefix = "igllm"
    main_input_name = "pixel_values"
    _supports_sdpa = True
    # Trainer would otherwise sum the loss over label tokens, which numbers have no share in.
    accepts_loss_kwargs = False

    def __init__(self, config: IGLLMConfig) -> None:
        super().__init__(config)
        self.tower = VisionTower(config)
        self.language_model = AutoModelForCausalLM.from_config(config.text_config)
        width = config.text_config.hidden_size
        self.projector = nn.Linear(self.tower.width, width)
        self.numeric_head = NumericHead(width) if config.numbers == "head" else None
        domain = get_domain(config.domain)
        self.slots = numeric_slots(domain)
        feedback = config.number_feedback and self.numeric_head is not None
        self.number_feedback = NumberFeedback(width, [slot.statement for slot in self.slots]) if feedback else None
        layout = DenseLayout.of(domain, self.slots) if config.dense_weight else None
        self.dense_head = DenseHead(width, layout) if layout else None
        self.post_init()

    def train(self, mode: bool = True) -> IGLLM:
        """As `nn.Module.train`; a frozen tower stays in evaluation mode."""
        super().train(mode)
        if self.config.freeze_vision:
            self.tower.eval()
        return self

    def see(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(batch, 3, height, width) normalised pixels to projected visual tokens (batch, cells, width)."""
        return self.projector(self.tower(pixel_values))

    def embed(self, input_ids: torch.Tensor, number_values: torch.Tensor | None, number_slots: torch.Tensor | None) -> torch.Tensor:
        """Token embeddings (batch, length, width), numbers fed back; see `forward` for the arguments."""
        embedded = self.language_model.get_input_embeddings()(input_ids)
        if self.number_feedback is None or number_values is None or number_slots is None:
            return embedded
        if self.training and self.config.feedback_noise:
            number_values = number_values + self.config.feedback_noise * torch.randn_like(number_values)
        return embedded + self.number_feedback(number_values.to(embedded.dtype), number_slots)

    def think(self, embedded: torch.Tensor, **cache: Any) -> Any:
        """The language model's decoder on embeddings; ``last_hidden_state`` (batch, length, width), and the cache if asked."""
        return self.language_model.get_decoder()(inputs_embeds=embedded, **cache)

    def token_logits(self, states: torch.Tensor) -> torch.Tensor:
        """Hidden states (..., width) to next-token logits (..., vocabulary)."""
        return self.language_model.get_output_embeddings()(states)

    def forward(
        self,
        pixel_values: torch.Tensor,
        input_ids: torch.Tensor,
        *,
        labels: torch.Tensor | None = None,
        number_values: torch.Tensor | None = None,
        number_slots: torch.Tensor | None = None,
        dense_numbers: torch.Tensor | None = None,
        dense_words: torch.Tensor | None = None,
    ) -> IGLLMOutput:
        """One pass with the true text.

        ``input_ids`` (batch, length), padded on the right; ``labels`` the same with -100 where nothing is learnt; ``number_values``
        normalised and ``number_slots`` (-1 for none) the same shape; ``dense_*`` as `DenseLayout.targets`. Attention is causal, so what
        precedes the padding never sees it, and no mask is needed.
        """
        visual = self.see(pixel_values)
        hidden = self.think(torch.cat([visual, self.embed(input_ids, number_values, number_slots)], dim=1)).last_hidden_state
        states = hidden[:, visual.shape[1] - 1 : -1]  # the state at t - 1 predicts token t
        logits = self.token_logits(states)
        output = IGLLMOutput(logits=logits)
        if labels is None:
            return output
        output.token_loss = nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED)
        output.loss = output.token_loss
        if self.numeric_head is not None and number_values is not None and number_slots is not None and (number_slots >= 0).any():
            at = number_slots >= 0
            predicted = self.numeric_head(states[at]).float()
            output.number_loss = number_loss(predicted, number_values[at], self.periods()[number_slots[at]])
            output.loss = output.loss + self.config.number_weight * output.number_loss
        if self.dense_head is not None and dense_numbers is not None and dense_words is not None:
            output.dense_loss = self.dense_head.loss(visual.float(), dense_numbers, dense_words, self.periods())
            output.loss = output.loss + self.config.dense_weight * output.dense_loss
        return output

    def periods(self) -> torch.Tensor:
        """(slots,) the period of each slot in normalised units, 0 for none."""
        return torch.tensor([slot.period for slot in self.slots], device=self.device)
