"""What a training step does beside its matrix products, counted on a CPU: how often the host waits, kernels, bytes moved and kept.

    python benchmarks/counts.py [--preset paper] [--set KEY=VALUE] [--batch 2 | --layer]

Times on a CPU say little about a GPU; these counts are the same on both, in so far as a preset takes the same path. Parts are shrunk, but
for their kinds and their settings: 2 layers of width 256, on random bases (`bases`). ``--layer`` counts for a token in one layer of the
language model, in the preset's own size.

- *waits*: operators for which the host needs a number from the device (``item``, ``nonzero``, a mask as index) or sends it one that it has
  just made (``torch.tensor``). On a GPU, each lasts until all that was queued is done, and until then nothing more is queued.
- *kernels*: operators that compute something, as views do not; *products* are those that multiply matrices, attend or convolve.
- *moved*: megabytes that all other kernels read and write, which is what takes their time.
- *kept*: megabytes that the forward pass keeps for the backward pass, weights not counted.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from bases import on_bases
from loops import source_of
from scenes import write_discs
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from datagen.domains.registry import get_domain
from datagen.samples.settings import DatasetSettings
from datagen.shards.reader import Samples
from model.build import build
from model.config import quiet_transformers
from model.data.examples import Collator
from model.igllm import IGLLM
from model.preset import Preset, get_preset

WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "lift_fresh", "repeat_interleave", "_unique2"}
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "convolution", "convolution_backward", "linear", "_scaled_dot_product")
NO_KERNELS = {"detach", "lift_fresh", "_local_scalar_dense", "_unsafe_view", "empty", "empty_like", "new_empty"}
SHAPES = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 2, "num_attention_heads": 4}
IMAGE = {"image_size": 112, "patch_size": 14}
LENGTHS = (128, 256)  # tokens of two passes, whose difference is what tokens cost, without what weights do
MB = 1e6


class Counting(TorchDispatchMode):
    """Counts the operators of a block: ``waits`` by name, ``kernels``, ``products``, and ``moved`` bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.kernels = self.products = self.moved = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        masked = name in ("index", "index_put", "index_put_") and any(t.dtype in (torch.bool, torch.uint8) for t in tensors[1:])
        if name in WAITS or masked:
            self.waits[name] += 1
        if not func.is_view and name not in NO_KERNELS:
            self.kernels += 1
            if name.startswith(PRODUCTS):
                self.products += 1
            else:
                made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
                self.moved += sum(tensor.numel() * tensor.element_size() for tensor in [*tensors, *made])
        return result


@contextmanager
def kept_bytes(weights: set[int]) -> Iterator[list[int]]:
    """A list of the sizes in bytes of the storages that a block keeps for its backward pass, except those at ``weights``."""
    found: dict[int, int] = {}
    sizes: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield sizes
    sizes += found.values()


def _dropout(layer: torch.nn.Dropout, inputs: torch.Tensor) -> torch.Tensor:
    """Dropout in one kernel, as on a GPU."""
    return torch.native_dropout(inputs, layer.p, layer.training)[0]


def shrunk(preset: Preset) -> Preset:
    """The preset with small parts of the same kinds."""
    if not preset.language.lora_rank and preset.text.get("hidden_size", 0) <= SHAPES["hidden_size"]:
        return preset
    return preset.replaced(
        vision={**preset.vision, **SHAPES, **IMAGE},
        text={**preset.text, **SHAPES, "num_key_value_heads": 4},
        **({"lora_rank": 16, "lora_alpha": 32} if preset.language.lora_rank else {}),
    )


def counted(preset: Preset, work: Path, batch_size: int) -> dict[str, dict[str, float]]:
    """The counts of a step by phase."""
    device = torch.device("cpu")
    preset = on_bases(shrunk(preset), work / "bases", device)
    data = write_discs(work / "discs", batch_size, DatasetSettings(seed=1, shard_size=64))
    torch.manual_seed(0)
    model, codec = build(preset, Samples(data).at(0).domain)
    source = source_of(preset, data, model, codec)
    batch = Collator(codec.tokenizer.pad_token_id)([source.example(number, None) for number in range(batch_size)])
    if preset.run.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    model.train()
    model(**batch)  # what is made once is made here
    with Counting() as losses:
        counts_of_losses = model.loss_counts(batch)
    forward, kept, backward = passes(preset, model, lambda: model(**batch, counts=counts_of_losses).loss)
    found = {
        name: {"waits": sum(each.waits.values()), "kernels": each.kernels, "products": each.products, "moved": each.moved / MB}
        for name, each in {"loss counts": losses, "forward": forward, "backward": backward}.items()
    }
    found["forward"] |= {"kept": kept / MB, **{f"waits for {name}": times for name, times in forward.waits.items()}}
    return found


def passes(preset: Preset, model: IGLLM, run: Callable[[], torch.Tensor]) -> tuple[Counting, int, Counting]:
    """The counts of a forward pass, the bytes that it keeps, and the counts of the backward pass."""
    model.zero_grad()
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    bfloat16 = torch.autocast("cpu", torch.bfloat16, enabled=preset.optimisation.bf16)
    with mock.patch.object(torch.nn.Dropout, "forward", _dropout):
        with kept_bytes(weights) as kept, Counting() as forward, bfloat16:
            loss = run()
        with Counting() as backward:
            loss.backward()
    return forward, sum(kept), backward


def counted_in_layer(preset: Preset, work: Path) -> dict[str, dict[str, float]]:
    """The counts of a layer of the language model, not checkpointed; bytes are those for each token."""
    text = {**preset.text, "num_hidden_layers": 1}
    preset = on_bases(preset.replaced(vision={**preset.vision, **SHAPES, **IMAGE}, text=text), work / "bases", torch.device("cpu"))
    model = build(preset, get_domain("clevr"))[0].train()

    def inputs(tokens: int) -> torch.Tensor:
        return torch.zeros(1, tokens, preset.text["hidden_size"], dtype=model.language_model.dtype, requires_grad=True)

    few, many = (
        passes(preset, model, lambda tokens=tokens: model.run_decoder(inputs(tokens), use_cache=False).last_hidden_state.float().sum())
        for tokens in LENGTHS
    )

    between = (LENGTHS[1] - LENGTHS[0]) * MB
    return {
        "forward": {"kernels": many[0].kernels, "moved": (many[0].moved - few[0].moved) / between, "kept": (many[1] - few[1]) / between},
        "backward": {"kernels": many[2].kernels, "moved": (many[2].moved - few[2].moved) / between},
    }


def main() -> None:
    """Count, and print a line for each phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--layer", action="store_true")
    options = parser.parse_args()
    quiet_transformers()
    with tempfile.TemporaryDirectory() as work:
        preset = get_preset(options.preset).changed(options.settings)
        found = counted_in_layer(preset, Path(work)) if options.layer else counted(preset, Path(work), options.batch)
    for phase, counts in found.items():
        print(
            f"{phase}: "
            + ", ".join(f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value}" for name, value in counts.items())
        )


if __name__ == "__main__":
    main()
