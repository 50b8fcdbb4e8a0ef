"""Packages that bring domains, as pip leaves them on Python's path."""

from __future__ import annotations

from pathlib import Path


class Site:
    """A folder on Python's path, with files of packages as `pip install` leaves them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def bring(self, package: str, entry_points: dict[str, str], **modules: str) -> None:
        for name, text in modules.items():
            (self.folder / f"{name}.py").write_text(text)
        info = self.folder / f"{package.replace('-', '_')}-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
        lines = "".join(f"{name} = {value}\n" for name, value in entry_points.items())
        (info / "entry_points.txt").write_text(f"[igllm.domains]\n{lines}")
