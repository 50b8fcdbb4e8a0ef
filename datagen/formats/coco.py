"""COCO instances (Lin et al. 2014) as ``pycocotools`` loads them: ``annotations/instances.json`` beside ``images/``.

A shape is a category; every argument of the statement is in the annotation's ``attributes``. Segmentations are in COCO's uncompressed
run-length code; area and box are those of the visible pixels. An object of which nothing shows has no annotation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from datagen.domain import Choice, Domain
from datagen.domains import DOMAINS
from datagen.files import write_bytes
from datagen.formats.writing import json_document
from datagen.sample import Sample
from datagen.scene import Object

CATEGORY = "shape"  # the argument whose words are the categories


def export_coco(samples: Iterator[Sample], out: Path) -> None:
    """Write the samples to `out`, images under their keys. Ids count from 1."""
    kinds = categories()
    ids = {kind["name"]: kind["id"] for kind in kinds}
    fields = {"info": {"description": "igllm", "version": "1.0"}, "licenses": [], "categories": kinds}
    numbers = count(1)
    with json_document(out / "annotations" / "instances.json", fields, ("images", "annotations")) as document:
        for image_id, sample in enumerate(samples, 1):
            name = sample.key + sample.suffix
            write_bytes(out / "images" / name, sample.image)
            document.add("images", {"id": image_id, "file_name": name, "width": sample.shot.width, "height": sample.shot.height})
            for obj, label in zip(sample.scene, sample.record["labels"], strict=True):
                if label["visible_pixels"]:
                    row = {"id": next(numbers), "image_id": image_id, "category_id": ids[obj[CATEGORY]]}
                    document.add("annotations", {**row, **_seen(label), "attributes": attributes(obj, sample.domain)})


def categories() -> list[dict[str, Any]]:
    """The shapes of all domains, numbered from 1."""
    words = [(domain.name, word) for domain in DOMAINS.values() for word in _shapes(domain)]
    return [{"id": number, "name": word, "supercategory": domain} for number, (domain, word) in enumerate(words, 1)]


def _shapes(domain: Domain) -> tuple[str, ...]:
    arguments = (a for statement in domain.statements for a in statement.arguments)
    return next((a.words for a in arguments if isinstance(a, Choice) and a.name == CATEGORY), ())


def _seen(label: Mapping[str, Any]) -> dict[str, Any]:
    return {"segmentation": label["mask"], "area": label["visible_pixels"], "bbox": label["bbox"], "iscrowd": 0}


def attributes(obj: Object, domain: Domain) -> dict[str, Any]:
    """Every argument of an object but its category, plain JSON."""
    arguments = domain.statement(obj.statement).arguments
    return {a.name: list(v) if isinstance(v := obj[a.name], tuple) else v for a in arguments if a.name != CATEGORY}
