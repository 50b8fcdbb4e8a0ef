"""The cards of a page: a sample's picture, those of each candidate, scores in words, and both codes side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from datagen.domains.base import Domain
from datagen.images.encoding import encode_image, is_encoded_as
from datagen.images.reduced import reduced
from datagen.scene import Scene
from render.breakdown import confusions
from render.codediff import DiffRow, Span, diff, statement_spans
from render.report import MAX_RAW_CODE, MAX_ROWS, Column, PageSample, PictureFile, distance, number, percent
from render.scored import Found, Scored, ScoredAnswer, ScoredSample, mean_precision
from render.sides import Answer

Fact = tuple[str, str]
STATUS = ("compared", "missing", "unparsable")
_COLUMNS = (
    Column("ap", "average precision", higher_is_worse=False),
    Column("location", "location error"),
    Column("rotation", "rotation error"),
    Column("camera", "camera's location error"),
    Column("aim", "camera's direction error"),
    Column("flip", "FLIP"),
    Column("psnr", "PSNR", higher_is_worse=False),
    Column("iou", "mask IoU", higher_is_worse=False),
    Column("depth", "depth error"),
)


def page_sample(sample: ScoredSample, domain: Domain) -> PageSample:
    """A scored sample as a page shows it. Its line of ``samples.jsonl`` is that of its one answer; of several, a list of theirs."""
    rows = [one.scored.to_json() for one in sample.answers]
    row = rows[0] if len(rows) == 1 else {"key": sample.key, "candidates": [{k: v for k, v in r.items() if k != "key"} for r in rows]}
    shown = [(i, kind, picture) for i, one in enumerate(sample.answers) for kind, picture in _pictures(one)]
    pictures = {(i, kind): picture for i, kind, picture in shown}
    if (own := picture_of(sample.truth)) is not None:
        pictures = {(0, ""): own, **pictures}
    answers = [_card(sample, one, row, domain) for one, row in zip(sample.answers, rows, strict=True)]
    card = {"masks": None if sample.seen is None else sample.seen.masks, "answers": answers}
    wrong = [confusions(sample.scene, one.scene, one.scored.scene, domain) for one in sample.answers]
    return PageSample(sample.key, row, card, [_columns(one.scored) for one in sample.answers], wrong, pictures)


def _pictures(one: ScoredAnswer) -> list[tuple[str, PictureFile]]:
    own = picture_of(one.answer)
    if own is None:
        return []
    heat = [] if one.heat is None else [("heat", PictureFile(one.heat, ".png", own.width, own.height))]
    return [("picture", own), *heat]


def _card(sample: ScoredSample, one: ScoredAnswer, row: Mapping[str, Any], domain: Domain) -> dict[str, Any]:
    view, pairs = one.scored.view, one.scored.scene.pairs
    overlaps = {} if view is None else {pair.truth: overlap for pair, overlap in zip(pairs, view.overlaps, strict=True)}
    return {
        "facts": facts(row, domain.unit),
        "masks": None if view is None else view.masks,
        "problem": problem_of(one.answer),
        "code": raw_code(one.answer.code) if one.answer is not None and one.answer.error is not None else None,
        **code_rows(diff(sample.scene, one.scene, pairs, domain), domain.unit, overlaps),
    }


def problem_of(answer: Answer | None) -> str | None:
    """What is wrong with an answer as a whole."""
    if answer is None:
        return "there is no prediction for this sample"
    return None if answer.error is None else str(answer.error)


def _columns(scored: Scored) -> dict[str, float | None]:
    """The numbers of a sample that a page sorts and chooses by."""
    scene, image, view = scored.scene, scored.image, scored.view
    apart = [pair.distance for pair in scene.pairs]
    camera = scene.shot.camera if scene.shot else None
    return {
        "status": STATUS.index(scored.status),
        "missed": scene.truths - len(scene.pairs),
        "extra": scene.guesses - len(scene.pairs),
        "ap": _rounded(mean_precision(scene) if scene.average_precision else None),
        "location": _rounded(fmean(apart) if apart and scene.average_precision else None),
        "rotation": _rounded(fmean(scene.rotation_errors) if scene.rotation_errors else None),
        "camera": _rounded(None if camera is None else camera.location),
        "aim": _rounded(None if camera is None else camera.direction),
        "flip": _rounded(None if image is None else image.flip),
        "psnr": _rounded(None if image is None else image.psnr),
        "iou": _rounded(None if view is None else view.mask_iou),
        "depth": _rounded(None if view is None else view.depth_error),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def columns_of(found: Sequence[Found]) -> list[Column]:
    """The columns of which some sample has a number."""
    rows = [_columns(scored) for one in found for scored in one.scored]
    return [column for column in _COLUMNS if any(row[column.name] is not None for row in rows)]


def ranks(found: Sequence[Found]) -> list[list[int]]:
    """By candidate, the place of each sample among those of all candidates, from 0, the best; equal ones share theirs."""
    merits = [[scored.merit() for scored in one.scored] for one in found]
    places: dict[tuple[float, ...], int] = {}
    for place, merit in enumerate(sorted((m for one in merits for m in one), reverse=True)):
        places.setdefault(merit, place)
    return [[places[merit] for merit in one] for one in merits]


def picture_of(answer: Answer | None) -> PictureFile | None:
    """The image of an answer as a file: its own, if browsers show such files, or a smaller copy of a very large image."""
    if answer is None or answer.image is None:
        return None
    pixels = reduced(answer.image)
    height, width = pixels.shape[:2]
    if pixels is answer.image and answer.suffix and is_encoded_as(answer.suffix, answer.file):
        return PictureFile(answer.file, answer.suffix, width, height)
    return PictureFile(encode_image(pixels), ".png", width, height)


def facts(row: Mapping[str, Any], unit: str) -> list[Fact]:
    """The scores of a sample, a line of ``samples.jsonl``, as names and texts."""
    own, image, view = row["scene"], row["image"], row["view"]
    found = [("objects", f"{own['guessed']} / {own['objects']}")]
    if own["ap"]:
        found.append(("location", distance(own["location_l2"], unit)))
    found += [(name, percent(share, 0)) for name, share in own["accuracy_all"].items()]
    if own["ap"]:
        near = middle(list(own["ap"]))
        found += [("AP ∞", number(own["ap"].get("inf"))), (f"AP {near} {unit}", number(own["ap"][near]))]
    if own["rotation_error"]["pairs"]:
        found.append(("rotation", number(own["rotation_error"]["median"], 1, "°")))
    if own["relations"] is not None:
        found.append(("relations", percent(own["relations"], 0)))
    if "shot" in own:
        found += _shot_facts(own["shot"])
    if view is not None:
        found.append(("mask IoU", number(view["mask_iou"])))
        if view["depth_error"] is not None:
            found.append(("depth", distance(view["depth_error"], "m")))
    if image is not None:
        found += [("FLIP", number(image["flip"], 3)), ("PSNR", number(image["psnr"], 1, "dB")), ("SSIM", number(image["ssim"], 3))]
        if image["same"]:
            found.append(("", "the same image"))
    return found


def _shot_facts(shot: Mapping[str, Any]) -> list[Fact]:
    """The errors of a camera and of lamps, as names and texts."""
    camera = shot["camera"]
    if camera["cameras"] and not camera["stated"]:
        return [("camera", "not stated")]
    found = []
    if camera["stated"]:
        found = [("camera", f"{distance(camera['location']['mean'], 'm')}, {number(camera['direction']['mean'], 1, '°')}")]
        found += [(name, number(camera[key]["mean"], 1, "°")) for name, key in (("roll", "roll"), ("field of view", "field_of_view"))]
    return found + [(f"{name} lamp", number(error["mean"], 1, "°")) for name, error in shot["lamp_direction"].items()]


def middle(thresholds: Sequence[str]) -> str:
    """The threshold at which samples are ordered, the middle one."""
    return thresholds[len(thresholds) // 2]


def code_rows(rows: Sequence[DiffRow], unit: str, overlaps: dict[int, float | None] | None = None) -> dict[str, Any]:
    """Both codes side by side as plain JSON; ``overlaps`` has the mask IoU of matched objects by the true one's index."""
    shown = [
        [row.kind, _spans(row.truth), _spans(row.guess), _between(row, unit, overlaps or {}), row.truth_index, row.guess_index]
        for row in rows[:MAX_ROWS]
    ]
    return {"rows": shown, "more": max(0, len(rows) - MAX_ROWS)}


def said_rows(scene: Scene, confidence: Sequence[float] | None, domain: Domain) -> dict[str, Any]:
    """A code without a true one beside it, with how sure the model is of each object, as plain JSON."""
    shown = [
        [
            "alone",
            None,
            _spans(statement_spans(obj, domain, {})),
            "" if confidence is None else f"{percent(confidence[i], 0)} sure",
            None,
            i,
        ]
        for i, obj in enumerate(scene.objects[:MAX_ROWS])
    ]
    return {"rows": shown, "more": max(0, len(scene) - MAX_ROWS)}


def raw_code(code: str | None) -> str | None:
    """Code that does not parse, cut to a length that a page can show."""
    return None if code is None else code[:MAX_RAW_CODE] + ("\n…" if len(code) > MAX_RAW_CODE else "")


def _between(row: DiffRow, unit: str, overlaps: dict[int, float | None]) -> str:
    if row.kind != "matched":
        return "" if row.kind == "alone" else row.kind
    overlap = overlaps.get(row.truth_index) if row.truth_index is not None else None
    return distance(row.distance, unit, 2) + ("" if overlap is None else f"\nIoU {overlap:.2f}")


def _spans(spans: Sequence[Span] | None) -> list[Any] | None:
    """Spans as texts, or as lists of text, mark and title; neighbours without a mark are joined."""
    if spans is None:
        return None
    found: list[Any] = []
    for span in spans:
        if span.mark:
            found.append([span.text, span.mark, span.title] if span.title else [span.text, span.mark])
        elif found and isinstance(found[-1], str):
            found[-1] += span.text
        else:
            found.append(span.text)
    return found
