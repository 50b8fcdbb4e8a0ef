"""Cameras recovered from objects' positions in an image: within a pixel, and exactly if it is CLEVR's usual camera."""

from __future__ import annotations

import math

import numpy as np
from published_scenes import CLEVR, JITTER, jittered, published_val_0

from datagen.domains.clevr import CAMERA
from datagen.formats.camera_fit import GOOD_PIXELS, CameraFit, Sightings, fit_camera
from datagen.geometry.camera import project
from datagen.scene import Camera


def recovered(points: np.ndarray, pixels: np.ndarray) -> CameraFit:
    """The camera that `fit_camera` finds from pixels of a 320x240 frame, without depths."""
    return fit_camera(CAMERA, Sightings(320, 240, points, pixels))


def test_cameras_are_recovered_within_a_pixel() -> None:
    """Scenes have one to ten objects at rounded pixels, and cameras jittered by up to 0.5 m along each axis."""
    worst, apart = [], []
    for index in range(60):
        sample = jittered(index, least=1 + index % 10, most=1 + index % 10, width=64, height=48)
        points = np.array([CLEVR.location(obj) for obj in sample.scene])
        pixels = project(sample.shot.camera, 320, 240, points)[:, :2].round()
        fit = recovered(points, pixels)
        worst.append(fit.worst)
        if len(points) >= 3:
            assert fit.camera.target == CAMERA.target
            apart.append(math.dist(fit.camera.location, sample.shot.camera.location))
    assert max(worst) <= 1.0
    assert float(np.median(apart)) < 0.15


def test_the_camera_of_a_published_scene_is_recovered() -> None:
    """The camera lies within CLEVR's jitter and gives the recorded depths, which the fit does not use."""
    scene = published_val_0()
    points = np.array([o["3d_coords"] for o in scene["objects"]])
    recorded = np.array([o["pixel_coords"] for o in scene["objects"]])
    fit = fit_camera(CAMERA, Sightings(480, 320, points, recorded[:, :2]))
    assert fit.worst < 0.5
    assert fit.camera.target == (0.0, 0.0, 0.0)
    assert np.abs(np.subtract(fit.camera.location, CAMERA.location)).max() < JITTER
    assert np.abs(project(fit.camera, 480, 320, points)[:, 2] - recorded[:, 2]).max() < 0.02


def test_another_target_and_a_wrong_coordinate_are_found_out() -> None:
    sample = jittered(3, least=8, most=8, width=64, height=48)
    points = np.array([CLEVR.location(obj) for obj in sample.scene])
    elsewhere = Camera((7.0, -6.9, 5.0), target=(0.6, -0.5, 0.3))
    fit = recovered(points, project(elsewhere, 320, 240, points)[:, :2].round())
    assert fit.worst <= math.sqrt(2) * GOOD_PIXELS
    assert "none of CLEVR's" in (fit.doubt or "")
    assert math.dist(fit.camera.location, elsewhere.location) < 0.3
    pixels = project(sample.shot.camera, 320, 240, points)[:, :2].round()
    pixels[2] += 40
    robust = recovered(points, pixels)
    assert robust.residuals.argmax() == 2
    assert np.median(robust.residuals) < 3


def test_the_usual_camera_is_recognised_exactly() -> None:
    points = np.array([CLEVR.location(obj) for obj in jittered(1, width=64, height=48).scene])
    assert recovered(points, project(CAMERA, 320, 240, points)[:, :2].round()).camera == CAMERA
    assert recovered(np.zeros((0, 3)), np.zeros((0, 2))).camera == CAMERA
