"""Graphics code to render, from wherever it comes: files of code, predictions, folders, standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from datagen.code.predictions import predictions_in, read_predictions_of
from datagen.code.printed import codes_printed
from datagen.errors import UserError
from datagen.io.files import decode_text, passed_over
from datagen.scene import Shot
from datagen.shards.reader import Samples
from datagen.workers.jobs import EXPORTS
from render.refined import RefinedPrediction
from render.rerender import read_codes

T = TypeVar("T")
STDIN = Path("-")
STDIN_KEY = "stdin"
MOST_STDIN_BYTES = 1 << 26  # some 100,000 predictions


@dataclass(frozen=True)
class Codes:
    """Codes by key, and by key the place that each comes from, for messages; by key, the shots that refinement found for some; by key, the
    reasons why others cannot be read."""

    codes: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    found: dict[str, Shot] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


def gather_codes(sources: Sequence[Path]) -> Codes:
    """The codes in these sources: a ``.py`` file, whose key is its stem; a ``.jsonl`` file of predictions; a folder of ``.py`` files
    or of shards; ``-``, standard input, with the code of one scene, whose key is ``stdin``, or with predictions, as lines of JSON or as
    `igllm predict` prints them, which a ``.py`` file may hold, too.

    `UserError` if two codes have one key, or if a source is none of these or cannot be read. A file of a folder that cannot be read is left
    out, with the reason.
    """
    found = Codes()
    for source in sources:
        if sources.count(source) > 1:
            raise UserError(f"{'standard input' if source == STDIN else source}: is given twice; name it once")
        for key, code, where in _codes_of(source):
            if found.places.get(key) == where:
                raise UserError(f"{where}: is named twice, once by its folder; name it once")
            if key in found.places:
                raise UserError(f"{where}: has the key {key}, as {found.places[key]} has: their pictures would have one name; rename one")
            found.places[key] = where
            if isinstance(code, UserError):
                found.unreadable[key] = str(code)
                continue
            if isinstance(code, RefinedPrediction) and code.shot is not None:
                found.found[key] = code.shot
            found.codes[key] = code if isinstance(code, str) else code.code
    return found


def _codes_of(source: Path) -> Iterator[tuple[str, str | RefinedPrediction | UserError, str]]:
    """Key, code or the error of reading it, and place of each code."""
    if source == STDIN:
        yield from _codes_of_stdin()
    elif source.is_dir():
        yield from _codes_of_folder(source)
    elif not source.exists():
        raise UserError(f"{source}: there is no such file or folder")
    elif source.suffix == ".jsonl":
        for key, prediction in read_predictions_of(RefinedPrediction, source).items():
            yield key, prediction, f"{source}: {key}"
    else:
        codes = read_codes(source)
        yield from ((key, code, _place(str(source), key, codes)) for key, code in codes.items())


def _codes_of_folder(folder: Path) -> Iterator[tuple[str, str | UserError, str]]:
    files = [path for path in sorted(folder.glob("*.py")) if not passed_over(path.name) and not path.name.endswith(EXPORTS["script"])]
    for path in files:
        codes = _read(partial(read_codes, path), f"{path}: ")
        if isinstance(codes, UserError):
            yield path.stem, codes, str(path)
        else:
            yield from ((key, code, _place(str(path), key, codes)) for key, code in codes.items())
    if files:
        return
    if not any(folder.glob("[!.]*.tar")):
        predictions = next(iter(sorted(folder.glob("*.jsonl"))), None)
        hint = f"; it holds {predictions.name}, which can be named itself" if predictions else ""
        raise UserError(f"{folder}: no file of graphics code (.py) is in this folder, and no shards{hint}")
    samples = Samples(folder)
    for key in samples.keys:
        yield key, _read(partial(samples.code, key), f"{folder}: sample {key} "), f"{folder}: {key}"


def _place(source: str, key: str, codes: Mapping[str, str]) -> str:
    """Where a code comes from: a source that has several is named with its key."""
    return source if len(codes) == 1 else f"{source}: {key}"


def _read(read: Callable[[], T], prefix: str) -> T | UserError:
    """What is read, or the error, whose place its reader tells elsewhere."""
    try:
        return read()
    except UserError as error:
        return UserError(str(error).removeprefix(prefix))


def _codes_of_stdin() -> Iterator[tuple[str, str | RefinedPrediction, str]]:
    """One code, predictions as they are printed, or lines of predictions, which begin with a brace, as no code does."""
    data = sys.stdin.buffer.read(MOST_STDIN_BYTES + 1)
    if len(data) > MOST_STDIN_BYTES:
        raise UserError(f"standard input: more than {MOST_STDIN_BYTES:,} bytes, which is the most that is read; name a pred.jsonl instead")
    text = decode_text(data, "standard input")
    if not text.strip():
        raise UserError("standard input: is empty, so there is nothing to render; did the command before it fail?")
    if not text.lstrip().startswith("{"):
        codes = codes_printed(text, STDIN_KEY, "standard input")
        yield from ((key, code, _place("standard input", key, codes)) for key, code in codes.items())
        return
    for key, prediction in predictions_in(text, RefinedPrediction, "standard input").items():
        yield key, prediction, f"standard input: {key}"
