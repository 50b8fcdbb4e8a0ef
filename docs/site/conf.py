"""The documentation as a site: `make docs`. The pages are the repository's own Markdown files, where they are."""

import re
from pathlib import Path

from sphinx.application import Sphinx

project = "igllm"
html_title = "igllm"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
include_patterns = ["*.md", "docs/**.md", "examples/**.md", "model/weights/**.md"]
root_doc = "README"
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # JSON with parts left out
default_role = "py:obj"  # `Name` in a docstring
autodoc_mock_imports = ["bpy", "mathutils"]
autodoc_member_order = "bysource"
html_theme = "furo"
html_show_sourcelink = False
html_copy_source = False

ROOT = Path(__file__).parents[2]
CONTENTS = {
    "Start": ["docs/architecture", "docs/api", "CONTRIBUTING", "CHANGELOG"],
    "Examples": ["examples/README", "examples/*/README"],
    "Data": ["docs/data", "docs/files", "docs/formats", "docs/assets", "docs/new-domain", "docs/scale", "docs/quality", "docs/security"],
    "Models": ["docs/training", "docs/prediction", "docs/evaluation", "model/weights/tiny/README"],
    "Figures": [
        "docs/results",
        "docs/performance",
        "docs/experiments",
        "docs/cogent/README",
        "docs/cogent/table",
        "docs/evals/README",
        "docs/evals/*/table",
    ],
}
PUBLIC_NAME = re.compile(r"^\| `([\w.]+)\.(\w+)` \|", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\(([\w./-]+)\)")


def complete_page(app: Sphinx, page: str, source: list[str]) -> None:
    """Add the table of contents to README.md and the docstrings of all public names to docs/api.md. A site has no page for a folder of
    the repository, so links to folders become plain text."""
    folder = (ROOT / page).parent
    source[0] = LINK.sub(lambda link: link[1] if (folder / link[2]).is_dir() else link[0], source[0])
    if page == root_doc:
        source[0] += "".join(_contents(part, pages) for part, pages in CONTENTS.items())
    if page == "docs/api":
        directives = "".join(_directive(*found) for found in PUBLIC_NAME.findall(source[0]))
        source[0] += f"\n## Reference\n\n```{{eval-rst}}\n{directives}```\n"


def _contents(part: str, pages: list[str]) -> str:
    listed = "\n".join(pages)
    return f"\n```{{toctree}}\n:caption: {part}\n:hidden:\n:glob:\n\n{listed}\n```\n"


def _directive(module: str, name: str) -> str:
    kind = "autodata" if name.isupper() else "autoclass" if name[0].isupper() else "autofunction"
    members = "   :members:\n" if kind == "autoclass" else ""
    return f".. {kind}:: {module}.{name}\n{members}\n"


def write_front_page(app: Sphinx, error: Exception | None) -> None:
    """`index.html` leads to README.html."""
    if error is None:
        Path(app.outdir, "index.html").write_text('<meta http-equiv="refresh" content="0; url=README.html">\n')


def setup(app: Sphinx) -> None:
    app.connect("source-read", complete_page)
    app.connect("build-finished", write_front_page)
