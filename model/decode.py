"""Decoding: batched, greedy, with the key-value cache, and held to the grammar, so that what the model says always parses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import DynamicCache

from model.codec import DEAD, CodeCodec
from model.igllm import IGLLM


@dataclass(frozen=True)
class Decoded:
    """The code of one image and, per statement, a confidence in [0, 1].

    An object's confidence is the probability, among what the grammar allowed, that there is one more object times that of each of its
    words.
    """

    code: str
    confidence: tuple[float, ...]


@torch.inference_mode()
def decode(model: IGLLM, codec: CodeCodec, pixel_values: torch.Tensor, prompt: list[int]) -> list[Decoded]:
    """The code of each of a batch of images (batch, 3, height, width), in evaluation mode."""
    model.eval()
    batch, device = len(pixel_values), pixel_values.device
    next_state, slot_at = torch.from_numpy(codec.next_state).to(device), torch.from_numpy(codec.slot_at).long().to(device)
    state = torch.zeros(batch, dtype=torch.long, device=device)
    statements = torch.zeros(batch, dtype=torch.long, device=device)
    ended = torch.zeros(batch, dtype=torch.bool, device=device)
    cache = DynamicCache(config=model.config.text_config)
    prompt_ids = torch.tensor(prompt, device=device).expand(batch, -1)
    embedded = torch.cat([model.see(pixel_values), model.embed(prompt_ids, None, None)], dim=1)
    tokens, values, slots, scores = [], [], [], []
    while True:
        hidden = model.think(embedded, past_key_values=cache, use_cache=True).last_hidden_state[:, -1]
        at_line_start = state == 0
        allowed = next_state[state] != DEAD
        allowed[at_line_start & (statements >= codec.domain.max_objects)] = False
        allowed[ended | ~allowed.any(-1), codec.end] = True
        log_probability = model.token_logits(hidden).float().masked_fill(~allowed, -torch.inf).log_softmax(-1)
        score, token = log_probability.max(-1)
        value = torch.where(token == codec.num, model.numeric_head(hidden).float(), 0.0)
        tokens.append(token)
        values.append(value)
        slots.append(torch.where(token == codec.num, slot_at[state], -1))
        scores.append(score)
        ended = ended | (token == codec.end)
        if ended.all():
            break
        statements += at_line_start & ~ended
        state = torch.where(ended, 0, next_state[state, token].long())
        embedded = model.embed(*(torch.stack(column, 1) for column in (tokens, values, slots)))[:, -1:]
    columns = (torch.stack(c, 1).tolist() for c in (tokens, values, scores))
    return [_decoded(codec, *row) for row in zip(*columns, strict=True)]


def _decoded(codec: CodeCodec, tokens: list[int], values: list[float], scores: list[float]) -> Decoded:
    state, log_confidence = 0, []
    for token, score in zip(tokens, scores, strict=True):
        if token == codec.end:
            break
        if state == 0:
            log_confidence.append(0.0)
        log_confidence[-1] += score
        state = int(codec.next_state[state, token])
    confidence = torch.tensor(log_confidence).exp().tolist()
    return Decoded(codec.decode(tokens, values), tuple(round(c, 6) for c in confidence))
