"""The guide to new domains, followed to the letter: its files are written as it says, and its commands run one after another."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
import venv
from pathlib import Path

from datagen.archive import open_archive

GUIDE = Path(__file__).parent.parent / "docs" / "new-domain.md"
FILE = re.compile(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


_IGLLM = "#!{python}\nimport sys\n\nfrom igllm import main\n\nsys.exit(main())\n"
_PIP = '#!/bin/sh\nexec "{python}" -P -m pip "$@"\n'


class Environment:
    """A virtual environment in a folder, with igllm's own packages behind what is installed into it."""

    def __init__(self, folder: Path) -> None:
        venv.EnvBuilder(symlinks=True).create(folder)
        self.bin = folder / "bin"
        self.site = next((folder / "lib").glob("python*/site-packages"))
        (self.site / "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        for name, text in (("igllm", _IGLLM), ("pip", _PIP)):
            (self.bin / name).write_text(text.format(python=self.bin / "python"))
            (self.bin / name).chmod(0o755)

    def run(self, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """A shell's commands in a folder, up to the first that fails. pip reaches no network: it builds with what is here."""
        offline = {"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}  # 0: no isolation
        path = {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "PYTHONSAFEPATH": ""}
        return subprocess.run(
            ["sh", "-ec", command], cwd=folder, env=os.environ | offline | path, capture_output=True, text=True, check=False
        )


def test_the_guide_leads_a_domain_from_outside_once_around(tmp_path: Path) -> None:
    text, package = GUIDE.read_text(), tmp_path / "package"
    package.mkdir()
    for name, content in FILE.findall(text):
        (package / name).write_text(content)
    assert {path.name for path in package.iterdir()} == {"tetra.py", "tetra_builder.py", "pyproject.toml", "test_tetra.py", "scene.py"}
    environment = Environment(tmp_path / "environment")
    said = ""
    for commands in COMMANDS.findall(text):
        done = environment.run(commands, package)
        assert done.returncode == 0, (commands, done.stdout, done.stderr)
        said += done.stdout
    assert "data: 8 samples" in said
    archive = open_archive(package / "data")
    records = [json.loads(archive.files(number)[".json"]) for number in range(8)]
    assert {record["domain"] for record in records} == {"tetra"}
    assert all(archive.files(number)[".py"].decode().startswith("tetra(loc=(") for number in range(8))
    metrics = json.loads((package / "report" / "metrics.json").read_text())
    assert (metrics["domain"], metrics["samples"], metrics["unparsable"]) == ("tetra", 8, 0)
    assert set(metrics["scene"]["accuracy_all"]) == {"color"}
    assert 0 <= metrics["scene"]["rotation_error"]["mean"] <= 60
    assert (package / "data" / "inspect" / "index.html").is_file()
    assert (package / "drawn" / "scene.png").is_file()
