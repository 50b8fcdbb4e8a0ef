"""Some inputs of every kind, the same in every run: `make fuzz` tries a million others."""

from __future__ import annotations

import pytest
from campaign import run_block
from table import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_in_a_file_it_is_read_or_refused_in_one_message(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("FUZZ_FAULTS", str(tmp_path_factory.mktemp("faults")))
    tally = run_block(kind, KINDS[kind].some, None)
    assert not tally.faults, "\n".join(tally.told)
    # A strategy whose inputs mostly fail the first check of the format tests nothing behind it.
    assert tally.accepted + tally.later > tally.inputs // 3
