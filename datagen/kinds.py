"""Every kind of file that `datagen` reads and anybody may have written, with the declared type of its content or of each line.

Models and evaluations have kinds of their own: `model.declared.KINDS` and `render.evals.runs.KINDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datagen.assets.own import AssetNotes, KeptNames
from datagen.code.predictions import Prediction
from datagen.domains.own_assets import WordsFacts
from datagen.domains.splits import SplitFile
from datagen.formats.clevr_scenes import SceneEntry
from datagen.io.written import WrittenFile
from datagen.samples.cameras import CamerasFile
from datagen.samples.lamps import LampsFile
from datagen.samples.record import SampleRecord
from datagen.samples.settings import SettingsRecord
from datagen.shards.manifest import FAILURES, MANIFEST, SOURCES, STATEMENT, Failure, ManifestRow, SourceRow
from datagen.shards.writer import DatasetStatement, ImportedStatement

KINDS: Mapping[str, Any] = {
    "KEY.json, a sample's record": SampleRecord,
    STATEMENT: DatasetStatement,
    f"{STATEMENT}, the settings": SettingsRecord,
    f"{STATEMENT} of an imported data set": ImportedStatement,
    f"{MANIFEST}, a line": ManifestRow,
    f"{FAILURES}, a line": Failure,
    f"{SOURCES}, a line": SourceRow,
    "pred.jsonl, a line": Prediction,
    "a split's file": SplitFile,
    "a file of cameras": CamerasFile,
    "a file of lamps": LampsFile,
    "assets.json": AssetNotes,
    "a file of CLEVR's, each of its scenes": SceneEntry,
    ".igllm-VERB.jsonl, a line": WrittenFile,
    "in the cache, the words of a domain of own assets": WordsFacts,
    "in the cache, the files that an asset's file names": KeptNames,
}
