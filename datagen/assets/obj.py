"""What stands in ``.obj`` and ``.mtl`` files: the names of other files, and numbers that Blender would not read as they are written."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable

from datagen.assets.far import near_lines
from datagen.assets.folder import RefusedError, printable
from datagen.assets.limits import MOST_TRIANGLES

There = Callable[[str], bool]
"""Whether there is a file of a name, as seen from the one that names it."""

_LIBRARIES, _DEFINED, _USED = (re.compile(rf"^[ \t]*{word}[ \t]+(\S.*)$", re.MULTILINE) for word in ("mtllib", "newmtl", "usemtl"))
_MAPS = re.compile(r"^[ \t]*(?:map_\w+|bump|disp|decal|refl|norm)[ \t]+(\S.*)$", re.MULTILINE | re.IGNORECASE)
_IMAGE = re.compile(r"^[ \t]*map_Kd[ \t]+", re.MULTILINE | re.IGNORECASE)
_COLOR = re.compile(r"^[ \t]*Kd[ \t]+(\S.*)$", re.MULTILINE | re.IGNORECASE)
_BRIGHTEST = 1.5  # what goes beyond is of 255
_ARGUMENTS = {"-o": 3, "-s": 3, "-t": 3, "-mm": 2}
"""How many words follow an option, at most; of others one does."""


def obj_names(text: str, stem: str, there: There) -> list[str]:
    """The material libraries that an ``.obj`` names, and that of its own name, which is read unasked where there is one."""
    names = [name for rest in _LIBRARIES.findall(text) for name in _libraries(rest, there)]
    unasked = f"{stem}.mtl"
    return [*names, unasked] if unasked not in names and there(unasked) else names


def mtl_names(text: str, there: There) -> list[str]:
    """The images that an ``.mtl`` names."""
    return [_image(_without_options(rest.rstrip()), there) for rest in _MAPS.findall(text)]


def obj_read(data: bytes, there: There) -> bytes:
    """An ``.obj`` as Blender reads it rightly: one library a line, all of it moved to the origin if it is far away, and colours of vertices
    up to 1 where they go up to 255.

    `RefusedError` for one that is too large, or has vertices that are not finite numbers, of which Blender would make zeros.
    """
    if data.count(b"\nf ") > MOST_TRIANGLES:
        raise RefusedError(f"it has more than {MOST_TRIANGLES:,} triangles; make a simpler copy")

    def one_a_line(found: re.Match[str]) -> str:
        return "\n".join(f"mtllib {name}" for name in _libraries(found[1], there))

    lines = data.replace(b"\\\r\n", b"  ").replace(b"\\\n", b"  ").split(b"\n")
    vertices = [i for i, line in enumerate(lines) if line.split(None, 1)[:1] == [b"v"]]
    text = b"\n".join(_colored(near_lines(lines, vertices, 1, (1, 2, 3)), vertices)).decode(errors="surrogateescape")
    if any(len(_libraries(rest, there)) > 1 for rest in _LIBRARIES.findall(text)):
        text = _LIBRARIES.sub(one_a_line, text)
    return text.encode(errors="surrogateescape")


def _colored(lines: list[bytes], vertices: list[int]) -> list[bytes]:
    """The lines, with the colours of vertices up to 1."""
    colors = {i: _color(words[4:7]) for i in vertices if len(words := lines[i].decode(errors="replace").split()) == 7}
    if not colors or None in colors.values() or max(max(color) for color in colors.values() if color) <= _BRIGHTEST:
        return lines
    scaled = list(lines)
    for i, color in colors.items():
        scaled[i] = b" ".join([*lines[i].split()[:4], *(repr(level / 255).encode() for level in color or ())])
    return scaled


def mtl_read(data: bytes) -> bytes:
    """An ``.mtl`` as Blender reads it rightly.

    A colour of one number is grey, one that goes up to 255 is scaled, and keywords are spelled as Blender does. An image is multiplied by
    its material's colour; that is white if none is stated, and if it is black, as some programs write for "none".
    """
    return "".join(map(_plain, _materials(data.decode(errors="surrogateescape")))).encode(errors="surrogateescape")


def mtl_notes(text: str) -> list[str]:
    """What is amiss with the colours of an ``.mtl``."""
    strange = [found[1].rstrip() for block in _materials(text) if (found := _COLOR.search(block)) and _kd(block) is None]
    return [f"the colour 'Kd {printable(words)[:60]}' is not understood: grey is taken" for words in strange]


def _materials(text: str) -> list[str]:
    """The text in blocks of one material."""
    return re.split(r"(?m)^(?=[ \t]*newmtl\b)", text)


def _plain(block: str) -> str:
    color = _kd(block)
    worn = _IMAGE.search(block) is not None
    if worn and (color is None or not any(color)):
        color = (1.0, 1.0, 1.0)
    if color is None:
        return block
    if max(color) > _BRIGHTEST:
        color = (color[0] / 255, color[1] / 255, color[2] / 255)
    rest = _IMAGE.sub("map_Kd ", _COLOR.sub("", block)).rstrip("\r\n")
    return f"{rest}\nKd {' '.join(map(repr, color))}\n"


def _kd(block: str) -> tuple[float, float, float] | None:
    """The colour of a material; None if there is none, or none that is understood."""
    found = _COLOR.findall(block)
    return _color(found[-1].split()) if found else None


def _color(words: list[str]) -> tuple[float, float, float] | None:
    if len(words) not in (1, 3) or not all(map(_is_number, words)):
        return None
    red, green, blue = map(float, words * (3 // len(words)))
    return red, green, blue


def undefined_materials(text: str, libraries: list[str]) -> list[str]:
    """The materials that an ``.obj`` uses, and that none of its libraries, given as their texts, defines."""
    defined = {name.rstrip() for library in libraries for name in _DEFINED.findall(library)}
    return [name for name in dict.fromkeys(name.rstrip() for name in _USED.findall(text)) if name not in defined]


def _libraries(rest: str, there: There) -> list[str]:
    """The names on a line: one, which may hold blanks, or several, where there is none of the whole."""
    whole = rest.strip().strip('"')
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
        return math.isfinite(float(word))
    except ValueError:
        return False


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
