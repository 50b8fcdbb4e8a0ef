"""The test files that take longest, which come first: processes that share the files then end at about the same time."""

from __future__ import annotations

from places import ROOT

_NAMES = (
    "model/training/test_train.py",
    "model/training/test_trainer.py",
    "test_cli.py",
    "test_examples.py",
    "fuzz/test_inputs.py",
    "datagen/domains/test_domains.py",
    "test_own_assets.py",
    "model/test_foreign_models.py",
    "model/test_ties.py",
    "render/evals/test_evals.py",
    "model/tokens/test_codec.py",
    "model/prediction/test_decode.py",
    "model/data/test_domain_examples.py",
    "blender_scenes/test_blender_worker.py",
    "test_front.py",
    "render/test_rerender.py",
    "model/parts/test_hostile_tokenizers.py",
    "model/parts/test_pretrained.py",
    "blender_scenes/test_importer.py",
    "model/training/test_runs.py",
    "datagen/samples/test_distributions.py",
    "blender_scenes/test_own_models.py",
    "model/parts/test_hostile_parts.py",
    "model/parts/test_towers.py",
    "model/training/test_hostile_checkpoints.py",
    "datagen/test_generate.py",
    "test_full_disks.py",
    "model/derender/test_derender.py",
    "test_new_domain.py",
    "test_rooms.py",
    "model/test_shipped.py",
    "model/prediction/test_predict.py",
    "render/evals/test_eval_dot2d.py",
)
LONG_FILES = [ROOT / "tests" / name for name in _NAMES]
"""Those that take over five seconds of processor time, the longest first."""
