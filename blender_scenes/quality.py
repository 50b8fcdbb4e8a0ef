"""A shot's quality as settings of Cycles, Blender's path tracer, on the CPU."""

from __future__ import annotations

import os
from dataclasses import dataclass

import bpy

from datagen.scene import Quality, Shot


@dataclass(frozen=True)
class Settings:
    """``samples`` a pixel, and the denoiser's quality (None: not denoised)."""

    samples: int
    denoiser: str | None


QUALITY: dict[Quality, Settings] = {
    "draft": Settings(4, "FAST"),
    "standard": Settings(16, "HIGH"),
    "reference": Settings(2048, None),
}
_BOUNCES = 8  # fewer gain no time: most light soon leaves the open stage
_SEED_LIMIT = 2**31


def set_up_cycles(scene: bpy.types.Scene) -> None:
    """What holds for every shot."""
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
    cycles.device = "CPU"
    cycles.use_adaptive_sampling = False
    cycles.use_auto_tile = False
    cycles.use_light_tree = False  # with three lamps it costs a quarter of the time and gains nothing
    cycles.sampling_pattern = "BLUE_NOISE"  # the easiest noise to remove at few samples
    cycles.max_bounces = cycles.diffuse_bounces = cycles.glossy_bounces = _BOUNCES
    cycles.denoiser = "OPENIMAGEDENOISE"
    cycles.denoising_use_gpu = False
    cycles.denoising_prefilter = "FAST"
    cycles.blur_glossy = 2.0  # as CLEVR: hides the noise of light that reaches the ground by way of a mirror


def set_up_shot(scene: bpy.types.Scene, shot: Shot) -> None:
    """Frame, quality and noise of one shot. Raises ValueError for what Blender would clamp in silence."""
    settings, cycles = QUALITY[shot.quality], scene.cycles
    scene.render.resolution_x, scene.render.resolution_y = shot.width, shot.height
    if (scene.render.resolution_x, scene.render.resolution_y) != (shot.width, shot.height):
        raise ValueError(f"Blender cannot render a frame of {shot.width}x{shot.height} pixels")
    if not 0 <= shot.noise_seed < _SEED_LIMIT:
        raise ValueError(f"noise seed {shot.noise_seed} is outside [0, {_SEED_LIMIT})")
    cycles.seed = shot.noise_seed
    cycles.samples = settings.samples
    cycles.use_denoising = settings.denoiser is not None
    if settings.denoiser is not None:
        cycles.denoising_quality = settings.denoiser
