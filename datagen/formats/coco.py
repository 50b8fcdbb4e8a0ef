"""COCO instances (Lin et al. 2014) as ``pycocotools`` loads them: ``annotations/instances.json`` beside ``images/``.

Categories are the shapes or, in a domain without shapes, the statements; all other arguments are in the annotation's ``attributes``.
Segmentations are in COCO's uncompressed run-length code; area and box are those of the visible pixels. A fully hidden object has no
annotation. Captions, where samples have them, are in ``annotations/captions.json``, as COCO's are; an image's ``camera`` and ``depth``, the
path of a NumPy file, are in its entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import chain, count
from typing import Any

from datagen.domains.base import Domain
from datagen.errors import UserError
from datagen.formats.writing import Draft, JsonDocument, camera_of, caption_of, json_document, write_depth
from datagen.io.files import write_bytes
from datagen.samples.sample import Sample
from datagen.scene import Object

CATEGORY = "shape"  # the argument whose words are the categories


def export_coco(samples: Iterator[Sample], draft: Draft) -> None:
    """Write the samples, at least one, to a draft, images under their keys. Ids count from 1. `UserError` if not all are of one domain."""
    first = next(samples := iter(samples))
    kinds = categories(first.domain)
    ids = {kind["name"]: kind["id"] for kind in kinds}
    fields = {"info": {"description": "igllm", "version": "1.0"}, "licenses": [], "categories": kinds}
    numbers = count(1)
    with ExitStack() as open_files:
        document = open_files.enter_context(json_document(draft.file("annotations/instances.json"), fields, ("images", "annotations")))
        captions: JsonDocument | None = None
        for image_id, sample in enumerate(chain([first], samples), 1):
            if sample.domain != first.domain:
                named = f"sample {sample.key} is of the domain {sample.domain.name}, the first of {first.domain.name}"
                raise UserError(f"{named}: export each domain alone")
            name = sample.key + sample.suffix
            write_bytes(draft.file(f"images/{name}"), sample.image)
            frame = {"id": image_id, "file_name": name, "width": sample.shot.width, "height": sample.shot.height}
            depth = write_depth(sample, draft, f"depth/{sample.key}.npy")
            document.add("images", {**frame, "camera": camera_of(sample), **({} if depth is None else {"depth": depth})})
            if (text := caption_of(sample)) is not None:
                if captions is None:
                    told = {name: fields[name] for name in ("info", "licenses")}
                    document_of_captions = json_document(draft.file("annotations/captions.json"), told, ("images", "annotations"))
                    captions = open_files.enter_context(document_of_captions)
                captions.add("images", frame)
                captions.add("annotations", {"id": image_id, "image_id": image_id, "caption": text})
            for obj, label in zip(sample.scene, sample.record["labels"], strict=True):
                if label["visible_pixels"]:
                    row = {"id": next(numbers), "image_id": image_id, "category_id": ids[obj.values.get(CATEGORY, obj.statement)]}
                    document.add("annotations", {**row, **_pixels(label), "attributes": attributes(obj, sample.domain)})


def categories(domain: Domain) -> list[dict[str, Any]]:
    """The COCO categories of a domain, numbered from 1."""
    shapes = (c.words for statement in domain.statements for c in statement.choices if c.name == CATEGORY)
    words = next(shapes, tuple(statement.name for statement in domain.statements))
    return [{"id": number, "name": word, "supercategory": domain.name} for number, word in enumerate(words, 1)]


def _pixels(label: Mapping[str, Any]) -> dict[str, Any]:
    return {"segmentation": label["mask"], "area": label["visible_pixels"], "bbox": label["bbox"], "iscrowd": 0}


def attributes(obj: Object, domain: Domain) -> dict[str, Any]:
    """Every argument of an object but its category, plain JSON."""
    arguments = domain.statement(obj.statement).arguments
    return {a.name: list(v) if isinstance(v := obj[a.name], tuple) else v for a in arguments if a.name != CATEGORY}
