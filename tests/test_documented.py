"""What the documents say of files is what the readers hold them against."""

from __future__ import annotations

import importlib
import re

from documented import DOCUMENT, document
from places import DOCS


def test_every_kind_of_file_is_documented_field_by_field() -> None:
    assert DOCUMENT.read_text() == document(), (
        "docs/files.md differs from the declarations; write it anew: python tests/support/documented.py"
    )


def test_limits_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| .+ \| ([\d,]+) \| `([\w.]+)\.(\w+)` \|$", (DOCS / "security.md").read_text(), re.MULTILINE)
    stated = {f"{module}.{name}": int(number.replace(",", "")) for number, module, name in rows}
    assert len(rows) > 20
    assert stated == {f"{module}.{name}": getattr(importlib.import_module(module), name) for _, module, name in rows}
