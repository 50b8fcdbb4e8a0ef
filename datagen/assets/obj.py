"""``.obj`` and ``.mtl`` files: names of other files, and corrections of numbers and names that Blender would misread."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Callable, Sequence

from datagen.assets.far import near_lines
from datagen.assets.folder import RefusedError
from datagen.assets.limits import MOST_TRIANGLES
from datagen.screen import printable

There = Callable[[str], bool]
"""Whether a file exists, by its name relative to the file that names it."""

_LIBRARIES, _DEFINED, _USED = (re.compile(rf"^[ \t]*{word}[ \t]+(\S.*)$", re.MULTILINE) for word in ("mtllib", "newmtl", "usemtl"))
_MAPS = re.compile(r"^[ \t]*(?:map_\w+|bump|disp|decal|refl|norm)[ \t]+(\S.*)$", re.MULTILINE | re.IGNORECASE)
_IMAGE = re.compile(r"^[ \t]*map_Kd[ \t]+", re.MULTILINE | re.IGNORECASE)
_COLOR = re.compile(r"^[ \t]*Kd[ \t]+(\S.*)$", re.MULTILINE | re.IGNORECASE)
_COMMENT = re.compile(r"(?<![ \t])[ \t]+#.*$", re.MULTILINE)
_BRIGHTEST = 1.5  # greatest component of a colour on the scale of 1; greater ones are on that of 255
_ARGUMENTS = {"-o": 3, "-s": 3, "-t": 3, "-mm": 2}
"""The most words that follow an option of a ``map_`` line; every other option is followed by one word."""


def obj_names(text: str, stem: str, there: There) -> list[str]:
    """The material libraries that an ``.obj`` names, and the one named like the model (``stem``), which Blender reads if it exists."""
    names = [name for rest in _LIBRARIES.findall(text) for name in _libraries(rest, there)]
    unasked = f"{stem}.mtl"
    return [*names, unasked] if unasked not in names and there(unasked) else names


def mtl_names(text: str, there: There) -> list[str]:
    """The images that an ``.mtl`` names."""
    return [_image(_without_options(rest.rstrip()), there) for rest in _MAPS.findall(text)]


def obj_read(data: bytes, there: There) -> bytes:
    """An ``.obj`` corrected for Blender: one library a line, the model moved to the origin if it is far away, and vertex colours up to 255
    scaled to 1.

    `RefusedError` for more than `MOST_TRIANGLES` triangles, or vertices that are not finite numbers, which Blender would read as zeros.
    """
    lines = data.replace(b"\\\n", b"  ").split(b"\n")
    if sum(max(0, len(line.split()) - 3) for line in lines if line.split(None, 1)[:1] == [b"f"]) > MOST_TRIANGLES:
        raise RefusedError(f"it has more than {MOST_TRIANGLES:,} triangles; make a simpler copy")

    def one_a_line(found: re.Match[str]) -> str:
        return "\n".join(f"mtllib {name}" for name in _libraries(found[1], there))

    vertices = [i for i, line in enumerate(lines) if line.split(None, 1)[:1] == [b"v"]]
    text = b"\n".join(_colored(near_lines(lines, vertices, 1, (1, 2, 3)), vertices)).decode(errors="surrogateescape")
    if any(len(_libraries(rest, there)) > 1 for rest in _LIBRARIES.findall(text)):
        text = _LIBRARIES.sub(one_a_line, text)
    return text.encode(errors="surrogateescape")


def _colored(lines: list[bytes], vertices: list[int]) -> list[bytes]:
    """The lines, with vertex colours scaled to 1, or removed if they are on neither scale."""
    places = [i for i in vertices if len(lines[i].split()) == 7]
    levels = _levels([lines[i].decode(errors="replace").split()[4:] for i in places])
    if levels is not None and (not levels or _is_light(levels)):
        return lines
    scaled = list(lines)
    for row, i in enumerate(places):
        color = [] if levels is None else levels[3 * row : 3 * row + 3]
        scaled[i] = b" ".join([*lines[i].split()[:4], *(repr(level / 255).encode() for level in color)])
    return scaled


def _levels(colors: Sequence[list[str]]) -> list[float] | None:
    """The numbers of all colours in one list; None if they are neither from 0 to 1 nor whole numbers up to 255."""
    if not all(_is_number(word) for words in colors for word in words):
        return None
    levels = [float(word) for words in colors for word in words]
    return levels if not levels or _is_light(levels) or _of_255(levels) else None


def color_notes(text: str) -> list[str]:
    """Notes on vertex colours of an ``.obj`` that cannot be read."""
    vertices = [words[1:] for line in text.split("\n") if (words := line.split())[:1] == ["v"]]
    colored = [words[3:] for words in vertices if len(words) == 6]
    notes = []
    if 0 < len(colored) < len(vertices):
        notes.append(
            f"only {len(colored):,} of its {len(vertices):,} vertices have colours: what has a vertex without is taken without them"
        )
    if _levels(colored) is None:
        notes.append("the colours of its vertices, neither from 0 to 1 nor whole numbers up to 255, are not understood, and left out")
    return notes


def mtl_read(data: bytes) -> bytes:
    """An ``.mtl`` corrected for Blender.

    One number as a colour becomes grey, whole numbers up to 255 are scaled, other colours are left out. Keywords get Blender's spelling. A
    material whose name ends in a comment is defined without it too. Blender multiplies an image by its material's colour, which becomes
    white if it is not stated, or is black, as some programs write for "none".
    """
    text = data.decode(errors="surrogateescape")
    defined, blocks = _defined(text), []
    for block in map(_plain, _materials(text)):
        blocks.append(block)
        # What follows a "#" may be a comment or part of the name: both are defined.
        found = _DEFINED.search(block)
        if found and (name := _COMMENT.sub("", found[1]).rstrip()) not in defined:
            blocks.append(f"{_DEFINED.sub('newmtl ' + name.replace(chr(92), chr(92) * 2), block)}\n")
            defined.add(name)
    return "".join(blocks).encode(errors="surrogateescape")


def mtl_notes(text: str) -> list[str]:
    """Notes on colours of an ``.mtl`` that cannot be read."""
    notes = []
    for block in _materials(text):
        if (found := _COLOR.findall(block)) and _kd(block) is None:
            taken = "its image alone" if _IMAGE.search(block) else "grey"
            notes.append(f"the colour 'Kd {printable(found[-1].rstrip())[:60]}' is not understood: {taken} is taken")
    return notes


def _materials(text: str) -> list[str]:
    """The text, split into one block a material."""
    return re.split(r"(?m)^(?=[ \t]*newmtl\b)", text)


def _plain(block: str) -> str:
    color = _kd(block)
    worn = _IMAGE.search(block) is not None
    if worn and (color is None or not any(color)):
        color = (1.0, 1.0, 1.0)
    if color is None:
        return _COLOR.sub("", block)
    if max(color) > _BRIGHTEST:
        color = (color[0] / 255, color[1] / 255, color[2] / 255)
    rest = _IMAGE.sub("map_Kd ", _COLOR.sub("", block)).rstrip("\r\n")
    return f"{rest}\nKd {' '.join(map(repr, color))}\n"


def _kd(block: str) -> tuple[float, float, float] | None:
    """The colour of a material as written; None if there is none, or it is on neither scale."""
    found = _COLOR.findall(block)
    color = _color(_COMMENT.sub("", found[-1]).split()) if found else None
    return color if color is None or _is_light(color) or _of_255(color) else None


def _is_light(levels: Sequence[float]) -> bool:
    return min(levels) >= 0 and max(levels) <= _BRIGHTEST


def _of_255(levels: Sequence[float]) -> bool:
    """Whether levels are whole numbers from 0 to 255, the greatest above `_BRIGHTEST`."""
    return min(levels) >= 0 and _BRIGHTEST < max(levels) <= 255 and all(level == int(level) for level in levels)


def _color(words: list[str]) -> tuple[float, float, float] | None:
    if len(words) not in (1, 3) or not all(map(_is_number, words)):
        return None
    red, green, blue = map(float, words * (3 // len(words)))
    return red, green, blue


def undefined_materials(text: str, libraries: list[str]) -> list[str]:
    """The materials that an ``.obj`` uses and none of its libraries, given as texts, defines."""
    defined = {name for library in libraries for each in _defined(library) for name in (each, _COMMENT.sub("", each).rstrip())}
    return [name for name in dict.fromkeys(name.rstrip() for name in _USED.findall(text)) if name not in defined]


def _defined(library: str) -> set[str]:
    return {name.rstrip() for name in _DEFINED.findall(library)}


def _libraries(rest: str, there: There) -> list[str]:
    """The names of libraries on a line: its whole rest if that is one word, quoted or an existing file's name, else each of its words."""
    whole = rest.strip().strip('"')
    words = rest.split()
    if len(words) == 1 or rest.startswith('"'):
        return [whole]
    with contextlib.suppress(RefusedError):  # a word that names a file outside is refused later, by itself
        if there(whole):
            return [whole]
    return words


def _without_options(rest: str) -> str:
    words = list(re.finditer(r"\S+", rest))
    at = 0
    while at < len(words) - 1 and words[at][0].startswith("-"):
        most = _ARGUMENTS.get(words[at][0].lower(), 1)
        at += 1
        for _ in range(most):
            if at < len(words) - 1 and (most != 3 or _is_number(words[at][0])):
                at += 1
    return rest[words[at].start() :] if words else rest


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _image(name: str, there: There) -> str:
    """The first existing file in the order in which Blender tries names: as written, with ``/`` for Windows' separators, the last part
    alone. The second of these if none exists."""
    plain = name.strip('"')
    slashed = plain.replace("\\", "/")
    inside = re.sub(r"^[A-Za-z]:/", "", slashed)
    return next((each for each in (plain, slashed, os.path.basename(inside)) if each and there(each)), slashed)


def missing_faces(text: str) -> int:
    """The number of faces of an ``.obj`` that name vertices which do not exist; Blender leaves them out."""
    known = missing = 0
    farthest: list[int] = []  # greatest vertex number of each face: that vertex may be defined after the face
    for line in text.split("\n"):
        words = line.split()
        if words[:1] == ["v"]:
            known += 1
        elif words[:1] == ["f"]:
            places = [int(found[0]) for word in words[1:] if (found := re.match(r"-?\d{1,18}", word))]
            if any(place == 0 or place < -known for place in places):
                missing += 1
            else:
                farthest.append(max(places, default=0))
    return missing + sum(place > known for place in farthest)
