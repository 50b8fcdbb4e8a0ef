"""Code in, arrays out: one scene from three sides, with what each pixel shows, how far it is, and which way it faces."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from datagen.domains.registry import get_domain
from datagen.samples.viewpoints import named_cameras
from datagen.workers.pool import RenderPool
from render.picture import Picture, render_scene

CODE = """
add(loc=(1.0, -0.5, 0.7), color="cyan", material="metal", size="large", shape="cube", rotation=20)
add(loc=(-1.2, 0.8, 0.35), color="red", material="rubber", size="small", shape="sphere", rotation=0)
add(loc=(0.2, 1.6, 0.7), color="yellow", material="rubber", size="large", shape="cylinder", rotation=0)
"""


def row(picture: Picture) -> np.ndarray:
    """Colour, depth (near is bright), object numbers and normals, side by side: (height, 4 width, 3) uint8."""
    near, far = picture.depth.min(), np.percentile(picture.depth, 97)
    depth = 255 * np.clip((far - picture.depth) / (far - near), 0, 1)
    masks = 255 * picture.masks / picture.masks.max()
    grey = [np.repeat(plane[..., None], 3, axis=2) for plane in (depth, masks)]
    return np.concatenate([picture.image, *grey, 127.5 * (picture.normals + 1)], axis=1).astype(np.uint8)


cameras = named_cameras(get_domain("clevr"))
rows = []
with RenderPool(1) as pool:  # Blender starts once
    for name in ("main", "left", "top"):
        seen = render_scene(CODE, camera=cameras[name], width=240, height=180, depth=True, masks=True, normals=True, pool=pool)
        x, y, away = seen.K @ (seen.world_to_camera @ [1.0, -0.5, 0.7, 1.0])[:3]
        print(f"{name}: {[round(float((seen.masks == i).mean()), 4) for i in (1, 2, 3)]}; the cube at {x / away:.1f}, {y / away:.1f}")
        rows.append(row(seen))
Image.fromarray(np.concatenate(rows)).save(Path(sys.argv[1] if len(sys.argv) > 1 else "arrays.png"))
