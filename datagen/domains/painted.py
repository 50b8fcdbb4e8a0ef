"""Domains whose images are drawn in numpy, where Blender would add nothing."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from datagen.domains.base import Domain
from datagen.scene import Scene, Shot


class PaintedDomain(Domain):
    """A domain that is drawn in the process that asks for it: no Blender is started, and none need be installed."""

    @abstractmethod
    def paint(self, scene: Scene, shot: Shot) -> np.ndarray:
        """The image, (height, width, 3) uint8, sRGB: a function of scene and shot alone."""
