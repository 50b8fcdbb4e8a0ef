"""Virtual environments for tests that install packages, as their users do."""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

from one_process import run_in_one_process

_IGLLM = "#!{python}\nimport sys\n\nfrom igllm import main\n\nsys.exit(main())\n"
_MODULE = '#!/bin/sh\nexec "{{python}}" -P -m {module} "$@"\n'


class Environment:
    """A virtual environment in a folder, which falls back on the packages that the tests run with."""

    def __init__(self, folder: Path) -> None:
        venv.EnvBuilder(symlinks=True).create(folder)
        self.bin = folder / "bin"
        self.site = next((folder / "lib").glob("python*/site-packages"))
        (self.site / "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        modules = {"pip": "pip", "torchrun": "torch.distributed.run", "mypy": "mypy"}
        scripts = {"igllm": _IGLLM, **{name: _MODULE.format(module=module) for name, module in modules.items()}}
        for name, text in scripts.items():
            (self.bin / name).write_text(text.format(python=self.bin / "python"))
            (self.bin / name).chmod(0o755)

    def run(self, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run shell commands in a folder, up to the first that fails. pip has no network: it builds with the installed packages."""
        return subprocess.run(["sh", "-ec", command], cwd=folder, env=self._variables(), capture_output=True, text=True, check=False)

    def run_in_one_process(self, commands: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
        """Run commands that begin with ``igllm`` or ``python`` in a folder, up to the first that fails, in one process of this environment:
        see `one_process`."""
        calls = [shlex.split(command) for command in commands]
        calls = [words[1:] if words[0] == "python" else [str(self.bin / words[0]), *words[1:]] for words in calls]
        return run_in_one_process(calls, folder, python=self.bin / "python", env=self._variables())

    def _variables(self) -> dict[str, str]:
        offline = {"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}  # 0: no isolation
        path = {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "PYTHONSAFEPATH": ""}
        return os.environ | offline | path
