"""Makes the table of all settings in docs/training.md from the code: ``python tests/support/settings_table.py`` rewrites it."""

from __future__ import annotations

import re
from typing import Any

from places import DOCS

from model.preset import GROUPS, Preset, get_preset, settings

DOCUMENT = DOCS / "training.md"
PRESETS = ("tiny", "view", "small", "paper", "derender")
HEAD = f"| setting | what it says | default | {' | '.join(f'`{name}`' for name in PRESETS)} |\n|---|---|---|{'---|' * len(PRESETS)}\n"


def settings_table() -> str:
    """The table: each setting with its default, and the values of the presets that differ from it."""
    default, presets = Preset().to_json(), [get_preset(name).to_json() for name in PRESETS]
    text, group = HEAD, ""
    for name, setting in settings().items():
        if setting.group != group:
            group = setting.group
            text += f"| **`[{group}]`** | {GROUPS[group].__doc__} |{' |' * (1 + len(PRESETS))}\n"
        values = [_shown(default[name]), *("" if preset[name] == default[name] else _shown(preset[name]) for preset in presets)]
        text += f"| `{name}` | {setting.help} | {' | '.join(values)} |\n"
    return text


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:,}".replace("e-0", "e-") if isinstance(value, int | float) else value


if __name__ == "__main__":
    DOCUMENT.write_text(re.sub(re.escape(HEAD) + r"(\|.*\n)*", lambda _: settings_table(), DOCUMENT.read_text()))
