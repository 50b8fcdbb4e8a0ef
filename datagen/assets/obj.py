"""What stands in ``.obj`` and ``.mtl`` files: the names of other files, and numbers that Blender would not read as they are written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from datagen.assets.far import near_lines

There = Callable[[str], bool]
"""Whether there is a file of a name, as seen from the one that names it."""

_LIBRARIES = re.compile(r"^[ \t]*mtllib[ \t]+(.+?)[ \t]*\r?$", re.MULTILINE)
_MAPS = re.compile(r"^[ \t]*(?:map_\w+|bump|disp|decal|refl|norm)[ \t]+(.+?)[ \t]*\r?$", re.MULTILINE | re.IGNORECASE)
_IMAGE = re.compile(r"^[ \t]*map_Kd[ \t]", re.MULTILINE | re.IGNORECASE)
_COLOR = re.compile(r"^[ \t]*Kd[ \t]+(.+)$", re.MULTILINE)
_GREY = re.compile(r"^[ \t]*Kd[ \t]+(\S+)[ \t]*\r?$", re.MULTILINE)
_DEFINED = re.compile(r"^[ \t]*newmtl[ \t]+(.+?)[ \t]*\r?$", re.MULTILINE)
_USED = re.compile(r"^[ \t]*usemtl[ \t]+(.+?)[ \t]*\r?$", re.MULTILINE)
_ARGUMENTS = {"-o": 3, "-s": 3, "-t": 3, "-mm": 2}
"""How many words follow an option, at most; of others one does."""


def obj_names(text: str, stem: str, there: There) -> list[str]:
    """The material libraries that an ``.obj`` names, and that of its own name, which is read unasked where there is one."""
    names = [name for rest in _LIBRARIES.findall(text) for name in _libraries(rest, there)]
    unasked = f"{stem}.mtl"
    return [*names, unasked] if unasked not in names and there(unasked) else names


def mtl_names(text: str, there: There) -> list[str]:
    """The images that an ``.mtl`` names."""
    return [_image(_without_options(rest), there) for rest in _MAPS.findall(text)]


def obj_read(data: bytes, there: There) -> bytes:
    """An ``.obj`` as Blender reads it rightly: one library a line, and all of it moved to the origin if it is far away.

    `RefusedError` for vertices that are not finite numbers, of which Blender would make zeros.
    """

    def one_a_line(found: re.Match[str]) -> str:
        return "\n".join(f"mtllib {name}" for name in _libraries(found[1], there))

    lines = data.replace(b"\\\r\n", b"  ").replace(b"\\\n", b"  ").split(b"\n")
    near = b"\n".join(near_lines(lines, [i for i, line in enumerate(lines) if line.split(None, 1)[:1] == [b"v"]], 1, (1, 2, 3)))
    text = near.decode(errors="surrogateescape")
    if not any(len(_libraries(rest, there)) > 1 for rest in _LIBRARIES.findall(text)):
        return near
    return _LIBRARIES.sub(one_a_line, text).encode(errors="surrogateescape")


def mtl_read(data: bytes) -> bytes:
    """An ``.mtl`` as Blender reads it rightly: a colour of one number is grey, and an image is multiplied by its material's colour, which
    is white if none is stated, and if it is black, as some programs write for "none"."""
    text = _GREY.sub(r"Kd \1 \1 \1", data.decode(errors="surrogateescape"))
    blocks = re.split(r"(?m)^(?=[ \t]*newmtl\b)", text)
    return "".join(map(_whitened, blocks)).encode(errors="surrogateescape")


def _whitened(block: str) -> str:
    if not _IMAGE.search(block):
        return block
    colors = [color.split() for color in _COLOR.findall(block)]
    if colors and any(_is_number(word) and float(word) != 0 for word in colors[-1]):
        return block
    return _COLOR.sub("", block).rstrip("\r\n") + "\nKd 1 1 1\n"


def undefined_materials(text: str, libraries: list[str]) -> list[str]:
    """The materials that an ``.obj`` uses, and that none of its libraries, given as their texts, defines."""
    defined = {name for library in libraries for name in _DEFINED.findall(library)}
    return [name for name in dict.fromkeys(_USED.findall(text)) if name not in defined]


def _libraries(rest: str, there: There) -> list[str]:
    """The names on a line: one, which may hold blanks, or several, where there is none of the whole."""
    whole = rest.strip('"')
    words = rest.split()
    return [whole] if there(whole) or len(words) == 1 or rest.startswith('"') else words


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
        float(word)
    except ValueError:
        return False
    return True


def _image(name: str, there: There) -> str:
    """The name as that of the file that Blender tries first: as written, with Windows' separators as they are here, its last part."""
    plain = name.strip('"')
    slashed = plain.replace("\\", "/")
    inside = re.sub(r"^[A-Za-z]:/", "", slashed)
    return next((each for each in (plain, slashed, os.path.basename(inside)) if each and there(each)), slashed)


def missing_faces(text: str) -> int:
    """How many faces of an ``.obj`` name vertices that it does not have; Blender leaves them out."""
    known = missing = 0
    farthest: list[int] = []  # vertex of each face: it may come after the face
    for line in text.split("\n"):
        words = line.split()
        if words[:1] == ["v"]:
            known += 1
        elif words[:1] == ["f"]:
            places = [int(found[0]) for word in words[1:] if (found := re.match(r"-?\d+", word))]
            if any(place == 0 or place < -known for place in places):
                missing += 1
            else:
                farthest.append(max(places, default=0))
    return missing + sum(place > known for place in farthest)
