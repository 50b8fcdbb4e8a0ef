"""The machine of the tests of rendering on GPUs."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from gpu_machine import CARD, Inject
from places import FAULTS

import datagen.generate as generate_module
import datagen.workers.kernels as kernels_module
import datagen.workers.process as process_module
from datagen import doctor
from datagen.io import locks


@pytest.fixture
def gpu_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Inject:
    """A function that gives this machine GPUs that behave so (see `compiling_worker`), and returns the folder of their logs. Waits are told
    at once."""

    def inject(**by_identity: str) -> Path:
        folder = tmp_path / "machine"
        folder.mkdir(exist_ok=True)
        monkeypatch.setenv("FAULTS", json.dumps({identity.replace("_", "-"): fault for identity, fault in by_identity.items()}))
        monkeypatch.setenv("FAULTS_FOLDER", str(folder))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAULTS), os.environ.get("PYTHONPATH", "")]))
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr(tempfile, "tempdir", None)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(process_module, "WORKER", "compiling_worker")
        monkeypatch.setattr(process_module, "TELL_SECONDS", 0.0)
        monkeypatch.setattr(kernels_module, "TELL_SECONDS", 0.0)
        monkeypatch.setattr(locks, "SECONDS_BETWEEN_TRIES", 0.01)
        for module in (generate_module, doctor):
            monkeypatch.setattr(module, "find_gpus", lambda: [CARD])
        monkeypatch.setattr(generate_module, "named_gpus", lambda: [CARD])
        return folder

    return inject
