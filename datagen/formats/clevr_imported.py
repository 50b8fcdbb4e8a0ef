"""The report of an import of CLEVR: what was kept, which cameras were recovered, and what is in doubt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from datagen.formats.camera_fit import CameraFit
from datagen.io.ranges import counted

MOST_DOUBTS = 10  # doubtful cameras that are reported one by one


@dataclass
class Imported:
    """The result of an import. By key, ``stated`` has the cameras that the file gives, ``recovered`` the fitted ones.

    The first ``earlier`` of the ``keys`` were imported by an earlier call; the other fields do not include them. ``stale`` is the number
    of scenes in shards of an earlier call that are replaced, because they, or a shard before them, changed. ``in_vain`` is the number of
    scenes of the current shard whose pixels no camera was found to explain.
    """

    keys: list[str] = field(default_factory=list)
    earlier: int = 0
    stale: int = 0
    missing: list[str] = field(default_factory=list)
    without_pixels: list[str] = field(default_factory=list)
    without_depths: list[str] = field(default_factory=list)
    off_ground: list[str] = field(default_factory=list)
    stated: dict[str, CameraFit] = field(default_factory=dict)
    recovered: dict[str, CameraFit] = field(default_factory=dict)
    unsaid: list[str] = field(default_factory=list)
    in_vain: int = 0

    @property
    def doubts(self) -> dict[str, str]:
        """By key, the reason to doubt the camera, for the doubtful cameras."""
        return {key: fit.doubt for key, fit in (self.stated | self.recovered).items() if fit.doubt is not None}

    def lines(self) -> list[str]:
        """The report of the import, one message a line: kept scenes, cameras, and warnings."""
        lines = []
        if self.earlier:
            lines.append(f"there already, imported by an earlier call: {counted(self.earlier, 'scene')}")
        if self.stale:
            lines.append(f"imported anew, for the file, the images or the shards have changed: {counted(self.stale, 'scene')}")
        if self.stated:
            lines.append(f"cameras as the file states them: {counted(len(self.stated), 'scene')}")
        if self.recovered:
            lines.append(_recovered_line(self.recovered))
        doubts = self.doubts
        lines += [f"the camera of {key} is in doubt: {doubt}" for key, doubt in list(doubts.items())[:MOST_DOUBTS]]
        if len(doubts) > MOST_DOUBTS:
            lines.append(f"in doubt as well, and with them the labels: {counted(len(doubts) - MOST_DOUBTS, 'more camera')}")
        lines += _named("scenes without pixel_coords, where the standard camera is assumed", self.without_pixels)
        lines += _named(
            "scenes whose pixel_coords lack the depth: cameras known to decimetres, if the lens is CLEVR's", self.without_depths
        )
        lines += _named("scenes whose code does not state their camera, which is out of its range", self.unsaid)
        lines += _named("images not there, scenes left out", self.missing)
        lines += _named("scenes with objects whose height does not fit their size here, which will float or sink", self.off_ground)
        return lines


def _named(what: str, keys: list[str]) -> list[str]:
    return [f"{what}: {len(keys)} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"] if keys else []


def _recovered_line(fits: Mapping[str, CameraFit]) -> str:
    """The line of the report about the recovered cameras: their residuals, and the key of the largest."""
    doubtful = sum(fit.doubt is not None for fit in fits.values())
    every = np.concatenate([fit.residuals for fit in fits.values()])
    middle = float(np.median(every)) if len(every) else 0.0
    key, worst = max(((key, fit.worst) for key, fit in fits.items()), key=lambda named: named[1])
    return (
        f"cameras recovered for {counted(len(fits), 'scene')}, {doubtful or 'none'} of them in doubt: residual median {middle:.2f} px, "
        f"largest {worst:.2f} px ({key})"
    )
