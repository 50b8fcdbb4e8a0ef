"""How large people's own assets may be, and how long one may take. What is beyond is named and left out."""

from __future__ import annotations

MOST_FILES = 20_000  # in a folder
MOST_LIST_BYTES = 20_000_000  # of a file that lists them
MOST_BYTES = 200_000_000  # of a file, and of each file that it names
MOST_NAMED = 1_000  # files that one model is made of
MOST_NODES = 20_000  # of a glTF file
MOST_TRIANGLES = 100_000
MOST_SLOTS = 64
SECONDS = 60.0  # for one file; what takes longer hangs
START_SECONDS = 180.0  # for Blender to start
MEMORY_BYTES = 2 * 2**30  # that the process which opens files may take beyond what Blender takes by itself
MOST_PIXELS = 8192**2  # of a texture; Blender takes some 12 bytes for each
