"""All kinds of files that the fuzzer knows, by name."""

from __future__ import annotations

import asset_kinds
import data_kinds
import model_kinds
from kinds import Kind

KINDS: dict[str, Kind] = {**data_kinds.KINDS, **asset_kinds.KINDS, **model_kinds.KINDS}
