"""The batches of one step gathered anew, so that texts of like length are together and little is computed on padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from model.batch import IGNORED

TEXT = {"input_ids": 0, "labels": IGNORED, "number_values": 0.0, "number_slots": -1, "centres": -1}
"""The fields of a `Batch` that are as long as its texts, with what stands behind a text's end. (No loss looks at a token there.)"""


def of_like_length(batches: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same samples in as many batches, as large as before, the longest texts first, each padded no further than its own longest.

    A single batch, and batches without labelled texts, stay as they are. The host waits once for the lengths.
    """
    if len(batches) < 2 or "labels" not in batches[0]:
        return [dict(batch) for batch in batches]
    ends = torch.cat([_ends(batch["labels"]) for batch in batches]).tolist()
    order = sorted(range(len(ends)), key=lambda sample: -ends[sample])
    fields = {name: _joined(name, [batch[name] for batch in batches]) for name in batches[0]}
    gathered, first = [], 0
    for size in (len(batch["labels"]) for batch in batches):
        rows, longest = order[first : first + size], ends[order[first]]
        picked = {name: values[torch.tensor(rows, device=values.device)] for name, values in fields.items()}
        gathered.append({name: values[:, :longest] if name in TEXT else values for name, values in picked.items()})
        first += size
    return gathered


def _ends(labels: torch.Tensor) -> torch.Tensor:
    """(batch,) the lengths of texts with these labels (batch, length), whose last token is labelled."""
    places = torch.arange(1, labels.shape[1] + 1, device=labels.device)
    return torch.where(labels != IGNORED, places, 0).amax(1)


def _joined(name: str, values: Sequence[torch.Tensor]) -> torch.Tensor:
    """A field of all batches, texts padded to the longest."""
    if name not in TEXT:
        return torch.cat(list(values))
    longest = max(each.shape[1] for each in values)
    return torch.cat([torch.nn.functional.pad(each, (0, longest - each.shape[1]), value=TEXT[name]) for each in values])
