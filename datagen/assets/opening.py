"""The client of the process that opens people's own models: requests, answers and errors."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from datagen.assets.folder import RefusedError
from datagen.assets.limits import START_SECONDS
from datagen.assets.named import Parts, read_part
from datagen.errors import UserError
from datagen.io.child import Child, module_command
from datagen.screen import printable

IMPORTER = "blender_scenes.importer"
"""The module that runs as that process."""


class Importer:
    """The process that opens files, started for the first file, and again after a file that crashed or hung it.

    It gets copies in a temporary folder that holds nothing else, so that it finds no file outside the model's digest.
    """

    def __init__(self, seconds: float) -> None:
        """``seconds`` is the longest time that one file may take."""
        self._seconds = seconds
        self._child: Child | None = None

    def __enter__(self) -> Importer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def names(self, path: Path) -> list[str]:
        """The names of other files in a file, relative to its folder. `RefusedError` if Blender cannot open it, `UserError` if Blender does
        not start."""
        with tempfile.TemporaryDirectory(prefix="igllm-") as folder:
            copy = Path(folder) / (printable(path.stem) + path.suffix.lower())
            copy.write_bytes(read_part(path))
            names = self._asked({"path": str(copy), "names": True}, folder)["names"]
        return [str(name) for name in names]

    def opened(self, parts: Parts) -> bytes:
        """The ``.npz`` of a model. `RefusedError` if it cannot be copied or opened, `UserError` if Blender does not start."""
        with tempfile.TemporaryDirectory(prefix="igllm-") as folder:
            try:
                request = {"path": str(parts.copy(Path(folder))), "notes": parts.notes()}
            except OSError as error:
                raise RefusedError(f"cannot be copied to {folder} ({error.strerror or error})") from None
            answer = self._asked(request, folder)
            try:
                return self._started().read(answer["bytes"])
            except EOFError:
                raise self._crashed() from None

    def _asked(self, request: dict[str, Any], folder: str) -> dict[str, Any]:
        child = self._started()
        try:
            child.ask(request)
            answer = child.answer(self._seconds)
        except TimeoutError:
            self._stop()
            raise RefusedError(f"Blender did not open it within {self._seconds:g} s") from None
        except EOFError:
            raise self._crashed() from None
        if "error" in answer:
            raise RefusedError(printable(str(answer["error"]).replace(f"{folder}/", ""))[:300])
        return answer

    def _crashed(self) -> RefusedError:
        self._stop()
        return RefusedError("Blender crashed on it")

    def _started(self) -> Child:
        if self._child is not None:
            return self._child
        child = self._child = Child(module_command(IMPORTER))
        try:
            child.answer(START_SECONDS)
        except (TimeoutError, EOFError):
            tail = child.tail()
            self._stop()
            raise UserError(
                f"Blender does not start, which opens the files: {tail}", "Run `igllm doctor` to see what is missing."
            ) from None
        return child

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.stop()
