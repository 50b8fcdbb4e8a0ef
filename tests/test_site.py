"""The documentation as a site: every page and link is sound, and nothing on it is fetched from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import DOCS, ROOT

LOADED = re.compile(
    r"<(?:script|img|iframe)[^>]* src=\"https?:|<link[^>]* rel=\"stylesheet\"[^>]* href=\"https?:|@import|url\([\"']?https?:"
)


@pytest.mark.slow
def test_the_site_is_made_without_a_warning_and_reaches_for_nothing(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-c", DOCS / "site", ROOT, site]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reference = (site / "docs" / "api.html").read_text()
    names = re.findall(r"^\| `([\w.]+)` \|", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert [name for name in names if f'id="{name}"' not in reference] == []
    assert "roundtrip" in (site / "searchindex.js").read_text()
    assert "README.html" in (site / "index.html").read_text()
    fetching = [path.name for kind in ("html", "css") for path in site.rglob(f"*.{kind}") if LOADED.search(path.read_text())]
    assert fetching == []
