"""HTML pages from templates, which share a frame; every value in them is escaped."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from datagen.screen import uncontrolled


def render_template(folder: Path, template: str, filters: Mapping[str, Callable[..., Any]], **values: Any) -> str:
    """The page from a template in `folder` and the values; the template may extend ``page.html``, which lies beside this module.

    In the values, bytes that are no text (a file's name in another encoding), control characters, and characters that change the direction
    of text are shown as escapes.
    """
    environment = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        finalize=lambda value: uncontrolled(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    page = environment.get_template(template).render(**values)
    return page.encode(errors="backslashreplace").decode()


def embedded(png: bytes) -> str:
    """The data URL that embeds a picture, the content of a PNG file, in a page."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
