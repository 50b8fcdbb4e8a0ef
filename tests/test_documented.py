"""What the documents say of files is what the readers hold them against."""

from __future__ import annotations

from documented import DOCUMENT, document


def test_every_kind_of_file_is_documented_field_by_field() -> None:
    assert DOCUMENT.read_text() == document(), "docs/files.md differs from the declarations; write it anew: python tests/documented.py"
