"""A shot's quality as settings of Cycles, Blender's path tracer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datagen.scene import Quality, Shot

if TYPE_CHECKING:
    import bpy


@dataclass(frozen=True)
class Settings:
    """Settings that trade speed for noise. The defaults are Cycles' own and take no shortcut.

    ``samples``: per pixel; ``denoiser``: the quality of OpenImageDenoise (HIGH, BALANCED, FAST; None: not denoised), whose guide passes
    ``prefilter`` denoises (NONE, FAST, ACCURATE); ``light_tree``: sample lamps by their share of the light at a point instead of evenly;
    ``lamp_parts``: cut the strongest lamps into parts (`blender_scenes.stage.PARTS`), so that even sampling picks them more often;
    ``light_threshold``: light samples that contribute less than this are ended at random; ``roulette``: end dim paths at random;
    ``pattern``: of the random numbers; ``bounces``: at most, per path; ``adaptive``: after 16 samples, a pixel whose noise is below this
    gets no more (None: each pixel gets all).
    """

    samples: int
    denoiser: str | None = None
    prefilter: str = "FAST"
    light_tree: bool = True
    lamp_parts: bool = False
    light_threshold: float = 0.01
    roulette: bool = True
    pattern: str = "AUTOMATIC"
    bounces: int = 8
    adaptive: float | None = None


QUALITY: dict[Quality, Settings] = {
    "draft": Settings(2, "FAST", light_tree=False),
    "standard": Settings(
        256,
        "HIGH",
        prefilter="NONE",
        light_tree=False,
        lamp_parts=True,
        light_threshold=0.05,
        roulette=False,
        pattern="TABULATED_SOBOL",
        bounces=4,
        adaptive=0.1,
    ),
    "reference": Settings(2048),
}
"""Chosen by the measurements of benchmarks/quality.py; see docs/quality.md."""
_SEED_LIMIT = 2**31


def set_up_cycles(scene: bpy.types.Scene, device: str) -> None:
    """Apply what all shots share. ``device`` is ``CPU``, or ``GPU`` for the enabled one."""
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    render.threads_mode = "FIXED"
    render.threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    render.resolution_percentage = 100
    render.film_transparent = False
    render.use_compositing = False
    render.use_sequencer = False
    render.dither_intensity = 0.0
    scene.display_settings.display_device = "sRGB"
    scene.view_settings.view_transform = "Standard"
    scene.view_settings.look = "None"
    cycles.device = device
    cycles.sample_clamp_indirect = 0.0
    cycles.adaptive_min_samples = 1  # Cycles checks for the first time after 16 samples nevertheless
    cycles.use_auto_tile = False
    cycles.denoiser = "OPENIMAGEDENOISE"
    cycles.denoising_use_gpu = device == "GPU"
    cycles.blur_glossy = 2.0  # as CLEVR: less noise of light that mirrors reflect onto the ground


def set_up_shot(scene: bpy.types.Scene, shot: Shot, settings: Settings) -> None:
    """Apply a shot's frame size and noise seed, and the settings of its quality.

    Raises ValueError for a size or seed that Blender would silently clamp.
    """
    scene.render.resolution_x, scene.render.resolution_y = shot.width, shot.height
    if (scene.render.resolution_x, scene.render.resolution_y) != (shot.width, shot.height):
        raise ValueError(f"Blender cannot render a frame of {shot.width}x{shot.height} pixels")
    if not 0 <= shot.noise_seed < _SEED_LIMIT:
        raise ValueError(f"noise seed {shot.noise_seed} is outside [0, {_SEED_LIMIT})")
    scene.cycles.seed = shot.noise_seed
    _apply(scene.cycles, settings)


def _apply(cycles: bpy.types.PropertyGroup, settings: Settings) -> None:
    cycles.samples = settings.samples
    cycles.use_denoising = settings.denoiser is not None
    if settings.denoiser is not None:
        cycles.denoising_quality = settings.denoiser
        cycles.denoising_prefilter = settings.prefilter
    cycles.use_light_tree = settings.light_tree
    cycles.light_sampling_threshold = settings.light_threshold
    cycles.min_light_bounces = 0 if settings.roulette else settings.bounces
    cycles.sampling_pattern = settings.pattern
    cycles.max_bounces = cycles.diffuse_bounces = cycles.glossy_bounces = settings.bounces
    cycles.use_adaptive_sampling = settings.adaptive is not None
    if settings.adaptive is not None:
        cycles.adaptive_threshold = settings.adaptive
