"""The scores of a comparison as a few lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

WIDTH = 12  # characters for the names


def summary_text(metrics: Mapping[str, Any]) -> str:
    """The content of ``metrics.json`` as a table, with a line each for scenes, objects, attributes and so on, where there are values."""
    return "\n".join(f"{name:{WIDTH}}{text}" for name, text in _lines(metrics))


def _lines(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    scene, unit, image = metrics["scene"], metrics["unit"], metrics["image"]
    without = [(metrics["missing"], "without an answer"), (metrics["unparsable"], "whose code cannot be read")]
    yield "scenes", ", ".join([str(metrics["samples"]), *(f"{count} {what}" for count, what in without if count)])
    objects = f"{scene['guessed']} named, {scene['objects']} true ones, {scene['matched']} pairs"
    yield "objects", f"{objects}; the right number of them in {_percent(scene['count_accuracy'])} of the scenes"
    if scene["too_near"]:
        yield "too near", f"{scene['too_near']} pairs of those named, nearer than two objects can be"
    if scene["accuracy_all"]:
        yield "attributes", ", ".join(f"{name} {_percent(share)}" for name, share in scene["accuracy_all"].items()) + " of the true objects"
    if scene["location_l2"] is not None:
        yield "location", f"{scene['location_l2']:.3g} {unit} apart, the mean over pairs"
    turned = scene["rotation_error"]
    if turned["pairs"]:
        yield "rotation", f"{turned['mean']:.3g}° apart, the mean over {turned['pairs']} pairs; the median is {turned['median']:.3g}°"
    yield from _shot_lines(scene.get("shot"))
    for name, error in scene["size_error"].items():
        if error is not None:
            yield name, f"{error:.3g} apart, the mean over pairs"
    if scene["ap"]:
        yield "AP", ", ".join(f"{_percent(scene['ap'][limit])} {_within(limit, unit)}" for limit in sorted(scene["ap"], key=float))
    if image is not None:
        scores = f"PSNR {image['psnr']:.1f} dB, SSIM {image['ssim']:.3f}, FLIP {image['flip']:.3f} (0: no visible difference)"
        yield "images", f"{scores}, the mean over {image['samples']}"
    if metrics["images_reduced"]:
        yield (
            "large",
            f"{metrics['images_reduced']} of the pairs have over two million pixels, and SSIM and FLIP are of smaller copies",
        )


def _shot_lines(shot: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """What codes state of camera and lamps, if some do."""
    if shot is None:
        return
    camera = shot["camera"]
    if camera["stated"]:
        found = {name: camera[name]["median"] for name in ("location", "direction", "roll", "field_of_view")}
        apart = f"{found['location']:.3g} m away, {found['direction']:.3g}° aside, {found['roll']:.3g}° rolled"
        view = f"the field of view {found['field_of_view']:.3g}° off"
        yield "camera", f"{apart}, {view}: medians over {camera['stated']} of {camera['cameras']}"
    for name, direction in shot["lamp_direction"].items():
        power = shot["lamp_power"][name]["median"]
        yield f"{name} lamp", f"{direction['median']:.3g}° aside{'' if power is None else f', its power {_percent(power)} off'}: medians"


def _within(limit: str, unit: str) -> str:
    return "at any distance" if limit == "inf" else f"within {limit} {unit}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
