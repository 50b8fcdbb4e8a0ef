"""What the studio takes of a request, and how much of its work may wait: a page can be anybody's, and a tab can be left open."""

from __future__ import annotations

MOST_UPLOAD = 64 * 2**20
"""Bytes of an image file. How many pixels it may have: `datagen.images.limits`."""
MOST_BODY = 2**20
"""Bytes of any other request, which is code and a few numbers."""
MOST_PIXELS = 2**20
"""Pixels of a picture that is rendered: 1,024 x 1,024."""
MOST_WAITING = 16
"""Jobs of a kind that may wait; one more is refused."""
MOST_IMAGES = 64
"""Images that are kept in memory, the least recently used is dropped first; a page that needs a dropped one sends it again."""
MOST_MESHES = 256
"""Meshes of the 3-D view that are kept in memory, as `MOST_IMAGES`."""
MOST_TEXTURES = 64
"""Images of textures that are kept in memory, as `MOST_IMAGES`."""
MOST_SECONDS = 600.0
"""Seconds that one refinement may be asked to take."""
MOST_CANDIDATES = 16
"""Other codes of an image that a page may give back."""
MOST_OBJECTS = 10_000
"""Objects of a code of which a page may say how sure the model was."""
