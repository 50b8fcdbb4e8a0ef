"""The largest size of people's own assets, and the longest time to open one. Files beyond a limit are reported and left out."""

from __future__ import annotations

MOST_FILES = 20_000  # in a folder
MOST_LIST_BYTES = 20_000_000  # of a JSON file about assets, such as assets.json
MOST_BYTES = 200_000_000  # of a model's or image's file, and of each file that it names
MOST_NAMED = 1_000  # files that one model is made of
MOST_NODES = 20_000  # of a glTF file
MOST_TRIANGLES = 100_000
MOST_SLOTS = 64
SECONDS = 60.0  # for Blender to open one file, before it counts as hanging
START_SECONDS = 180.0  # for Blender to start
MEMORY_BYTES = 2 * 2**30  # that opening files may take beyond the memory of Blender itself
MOST_PIXELS = 8192**2  # of a texture; Blender needs some 12 bytes a pixel
