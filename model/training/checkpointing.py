"""Which layers of a language model compute their activations twice in training: no more than the memory of the device asks for.

A layer that is checkpointed keeps its input alone, and computes the rest again when its gradients are due (Chen et al. 2016): a third more
work, and a fraction of the memory. How much a layer keeps otherwise is counted in a short pass, since it depends on adapters, dropout and
precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from model.igllm import IGLLM

TRIED = 128  # tokens of the pass in which is counted
SPARE = 0.15  # of the memory, for what is not counted: fragments, kernels' workspaces
LOGIT_BYTES = 14  # of a logit: in bfloat16, in float32, its exponential, its gradient
ADAM_BYTES = 8  # of a trained weight


def checkpointed_every(model: IGLLM, samples: int, longest: int, memory: int, *, bf16: bool) -> int:
    """n, if every n-th layer of the language model is to be checkpointed so that training fits in ``memory`` bytes; 0 for none.

    A batch has ``samples`` samples, whose texts have ``longest`` tokens at most. 1, every layer, even if that will not suffice.
    """
    config = model.config.text_config
    tokens = samples * (len(model.config.prefix_token_ids) + model.tower.rows * model.tower.columns + longest)
    layers = config.num_hidden_layers
    kept = tokens * _kept_per_token(model, bf16) / layers
    inputs = tokens * config.hidden_size * 4
    trained = sum(p.numel() * (ADAM_BYTES + 2 * p.element_size()) for p in model.parameters() if p.requires_grad)
    static = sum(_size(p) for p in model.parameters()) + trained + samples * longest * config.vocab_size * LOGIT_BYTES
    left = (1 - SPARE) * memory - static - 2 * kept  # of a layer that is computed again, its activations and their gradients
    for every in (0, 8, 4, 3, 2):
        checkpointed = math.ceil(layers / every) if every else 0
        if (layers - checkpointed) * kept + checkpointed * inputs <= left:
            return every
    return 1


def _size(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _kept_per_token(model: IGLLM, bf16: bool) -> float:
    """The bytes that the language model's layers keep for each token until its gradients are due, none of them checkpointed."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    device, kept = model.device, dict[int, torch.UntypedStorage]()  # the storages are held, so that none takes another's place

    def count(tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage

    embedded = torch.zeros(1, TRIED, model.config.text_config.hidden_size, device=device, dtype=model.language_model.dtype)
    counting = torch.autograd.graph.saved_tensors_hooks(count, lambda _: embedded)
    devices: Iterable[torch.device] = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), counting, torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        model.train().run_decoder(embedded.requires_grad_(), use_cache=False)
    return sum(storage.nbytes() for storage in kept.values()) / TRIED
