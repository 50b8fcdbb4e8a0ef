"""All kinds of fuzzer inputs, by name."""

from __future__ import annotations

import asset_kinds
import data_kinds
import eval_kinds
import image_kinds
import kept_kinds
import model_kinds
import prediction_kinds
import run_kinds
import training_kinds
import written_kinds
from kinds import Kind

KINDS: dict[str, Kind] = {
    **data_kinds.KINDS,
    **written_kinds.KINDS,
    **kept_kinds.KINDS,
    **image_kinds.KINDS,
    **asset_kinds.KINDS,
    **model_kinds.KINDS,
    **run_kinds.KINDS,
    **training_kinds.KINDS,
    **prediction_kinds.KINDS,
    **eval_kinds.KINDS,
}

DECLARED = {
    "KEY.json, a sample's record": "record",
    "dataset.json": "statement",
    "dataset.json, the settings": "statement",
    "dataset.json of an imported data set": "statement",
    "manifest.jsonl, a line": "manifest",
    "failures.jsonl, a line": "manifest",
    "sources.jsonl, a line": "source",
    "pred.jsonl, a line": "prediction",
    "a split's file": "split",
    "a file of cameras": "camera",
    "a file of lamps": "lamp",
    "assets.json": "asset-list",
    "a file of CLEVR's, each of its scenes": "published",
    ".igllm-VERB.jsonl, a line": "list",
    "in the cache, the words of a domain of own assets": "words",
    "in the cache, the files that an asset's file names": "asset-cache",
    "config.json of a model": "config",
    "config.json of a de-rendering model": "config",
    "calibration.json": "calibration",
    "run.json": "run",
    "whole.json of a checkpoint": "run",
    "pending.json of a checkpoint": "run",
    "trainer_state.json of a checkpoint": "checkpoint",
    "best.json": "run",
    "in the cache, done.json of features": "features",
    "a run of an evaluation": "cell",
    "seconds.json of an evaluation's training": "cell",
}
"""The kind of fuzzer input that damages each declared kind of file."""
