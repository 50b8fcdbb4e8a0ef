"""Pages from templates: one frame around all of them, and everything that is put into one is escaped."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from datagen.screen import uncontrolled


def render_template(folder: Path, template: str, filters: Mapping[str, Callable[..., Any]], **values: Any) -> str:
    """The page that a template of `folder` makes of the values; it may extend ``page.html``, which is in this folder.

    What is no text in the values, such as a file's name in another encoding, is shown by its code; so is what turns the direction of text.
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
    """The address of a picture that is within its page, of the content of its file."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
