"""The checks that every domain must pass, whether built in or of another package. `check_domain` makes them all; a check that fails raises
`Broken` with what was found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from datagen.code.grammar import parse_code, write_code
from datagen.domains.base import Domain
from datagen.domains.dialects import Dialect
from datagen.domains.registry import get_domain
from datagen.domains.split_files import check_split, split_from_json
from datagen.domains.splits import Split
from datagen.errors import UserError
from datagen.generate import generate, generate_missing, report
from datagen.geometry.view import min_visible_pixels
from datagen.samples.draw import check_request, draw
from datagen.samples.labels import decode_rle, view_of
from datagen.samples.settings import DatasetSettings
from datagen.scene import Object, Scene, Shot
from datagen.shards.reader import Samples
from datagen.workers.pool import RenderPool
from render.images import same_image
from render.rerender import Recorded, render_codes

SCENES = 8  # scenes that a check of a domain draws


class Broken(AssertionError):
    """A check that a domain does not pass."""


def check_domain(name: str, folder: Path) -> None:
    """Make every check of a domain. Checks of samples render a few, small and in draft quality, below `folder`. Raises `Broken`."""
    domain = get_domain(name)
    for check in DOMAIN_CHECKS:
        check(domain)
    samples = generate(small_set(name), 6, folder / "samples")
    with RenderPool(1) as pool:
        for number, check_samples in enumerate(SAMPLE_CHECKS):
            check_samples(samples, folder / f"check-{number}", pool)


def small_set(name: str) -> DatasetSettings:
    """The settings of the data set whose samples are checked: scenes of two to four objects, or of fewer where the domain has fewer."""
    most = get_domain(name).max_objects
    return DatasetSettings(
        name, seed=7, width=160, height=120, quality="draft", min_objects=min(2, most), max_objects=min(4, most), shard_size=6
    )


def splits_are_sound_and_can_be_drawn(domain: Domain) -> None:
    """Every split agrees with the domain's declaration, is unchanged by JSON, and gives scenes with allowed numbers of objects."""
    _expect(
        domain.split("default") == Split("default", objects=domain.split("default").objects),
        "the split 'default' does not allow everything",
    )
    for name, split in domain.splits.items():
        _expect(name == split.name, f"the split {name!r} calls itself {split.name!r}")
        check_split(split, domain, f"the split {name!r}")
        _expect(
            split_from_json(_through_json(split.to_json()), domain, name) == split, f"the split {name!r} is another once read from JSON"
        )
        settings = _settings(domain, name)
        _expect(
            DatasetSettings.from_json(_through_json(settings.to_json())) == settings,
            f"settings of the split {name!r} are others out of JSON",
        )
        check_request(settings)
        for scene in _scenes(settings):
            _expect(split.objects[0] <= len(scene) <= split.objects[1], f"the split {name!r} gave {len(scene)} objects")


def scenes_are_valid_and_canonical(domain: Domain) -> None:
    """Drawn scenes are within the declared ranges and the canonical form of their objects in any order; an index gives one scene."""
    for index, scene in enumerate(_scenes(_settings(domain))):
        _expect(not domain.violations(scene), f"a drawn scene is outside of what is declared: {'; '.join(domain.violations(scene))}")
        domain.check(scene)
        for order in (scene.objects, scene.objects[::-1]):
            again = domain.canonical(Scene(scene.domain, order)).objects
            _expect(again == scene.objects, f"a drawn scene is not in canonical form: {scene.objects}, whose form is {again}")
        _expect(
            draw(_settings(domain), index).scene.objects == scene.objects,
            f"index {index} gave two scenes: something random is not drawn from `rng`",
        )


def narrowed_splits_are_kept(domain: Domain) -> None:
    """Scenes keep to the words and ranges of a split, for all words and numbers that the domain declares as drawn."""
    for word in domain.drawn_words:
        choice = next(c for statement in domain.statements for c in statement.choices if c.name == word)
        for scene in _narrowed(domain, Split(f"one-{word}", (((word, choice.words[:1]),),), objects=domain.split("default").objects)):
            found = {obj[word] for obj in scene if word in obj.values}
            _expect(found <= {choice.words[0]}, f"a split that allows {word} {choice.words[0]!r} alone gave {', '.join(sorted(found))}")
    for component, (number, axis) in domain.drawn_ranges.items():
        if number.period is not None:
            continue  # the canonical form of an angle may lie outside of the range
        low, high = number.low[axis], number.high[axis]
        ends = (round(low + (high - low) / 8, number.decimals), round(high - (high - low) / 8, number.decimals))
        for scene in _narrowed(domain, Split("narrow", ranges=((component, *ends),), objects=domain.split("default").objects)):
            for value in (number.as_tuple(obj[number.name])[axis] for obj in scene if number.name in obj.values):
                _expect(ends[0] <= value <= ends[1], f"a split that narrows {component} to {list(ends)} gave {value:g}")


def code_comes_back(domain: Domain) -> None:
    """Code parses to its scene, and is decoded unchanged from a model's tokens, with numbers by the head and as characters."""
    from model.config import PROMPT
    from model.tokens.codec import CodeCodec  # imported here because it loads torch, which no other check needs
    from model.tokens.tokenizer import domain_tokenizer

    tokenizer = domain_tokenizer(Dialect(domain), [PROMPT])
    codecs = [CodeCodec(domain, tokenizer, numbers) for numbers in ("head", "char")]
    for scene in _scenes(_settings(domain)):
        code = write_code(scene, domain)
        _expect(parse_code(code, domain).objects == scene.objects, f"code does not parse to its scene: {code}")
        for codec in codecs:
            encoded = codec.encode(scene)
            _expect(codec.decode(encoded.ids, encoded.values) == code, f"a model's tokens do not say the code again: {code}")


def mirrored_scenes_lie_mirrored(domain: Domain) -> None:
    """The objects of a mirrored scene, where there is one, lie mirrored on the frame."""
    shot = domain.canonical_shot(64, 48, "draft")
    for scene in _scenes(_settings(domain)):
        mirrored = domain.mirrored(scene)
        if mirrored is None:
            continue
        there = sorted(domain.centres(mirrored.objects, shot).tolist())
        wanted = sorted([64 - x, y, depth] for x, y, depth in domain.centres(scene.objects, shot).tolist())
        _expect(
            np.allclose(there, wanted, atol=0.05),
            f"`mirrored` puts objects to {there} on the frame, not {wanted}: leave it out if in doubt",
        )


def what_is_not_declared_is_refused(domain: Domain) -> None:
    """`Domain.check` refuses an unknown statement, an unknown word, and NaN."""
    obj = next(scene for scene in _scenes(_settings(domain)) if len(scene)).objects[0]
    statement = domain.statement(obj.statement)
    bad = [Object("nothing", obj.values)]
    bad += [obj.replaced(**{choice.name: "no such word"}) for choice in statement.choices]
    bad += [obj.replaced(**{number.name: number.as_value([float("nan")] * number.components)}) for number in statement.numbers]
    for one in bad:
        try:
            domain.check(Scene(domain.name, (one,)))
        except UserError:
            continue
        raise Broken(f"`check` takes {one}")


def samples_hold_what_they_promise(samples: Samples, folder: Path, pool: RenderPool) -> None:
    """A sample's code is its scene's, JSON does not change its shot, its labels are at the objects' centres, every object is visible."""
    for index, sample in enumerate(samples):
        domain, shot = sample.domain, sample.shot
        _expect(sample.record["index"] == index, f"{sample.key} has the index {sample.record['index']}")
        _expect(sample.pixels().shape == (shot.height, shot.width, 3), f"{sample.key} has pixels of the shape {sample.pixels().shape}")
        _expect(parse_code(sample.code, domain).objects == sample.scene.objects, f"{sample.key}: the code is not the scene's")
        _expect(Shot.from_json(_through_json(shot.to_json())) == shot, f"{sample.key}: the shot is another out of JSON")
        centres = domain.centres(sample.scene.objects, shot)
        for label, centre in zip(sample.record["labels"], centres.tolist(), strict=True):
            _expect(
                label["visible_pixels"] >= min_visible_pixels(shot.width, shot.height), f"{sample.key} has an object that is hardly seen"
            )
            _expect(
                np.allclose(label["pixel_coords"], centre, atol=1e-6), f"{sample.key} has a label at {label['pixel_coords']}, not {centre}"
            )


def masks_are_what_is_seen(samples: Samples, folder: Path, pool: RenderPool) -> None:
    """Masks are those of `Domain.view`; without its first object, a scene covers fewer pixels."""
    for sample in samples:
        view = view_of(sample.scene, sample.domain, sample.shot)
        for index, label in enumerate(sample.record["labels"]):
            _expect(
                bool((decode_rle(label["mask"]) == (view.owner == index)).all()),
                f"{sample.key}: the mask of object {index + 1} is not its view",
            )
        left = view_of(Scene(sample.scene.domain, sample.scene.objects[1:]), sample.domain, sample.shot)
        _expect(
            (left.owner >= 0).sum() < (view.owner >= 0).sum(), f"{sample.key}: without its first object, as much of the frame shows objects"
        )


def masks_are_what_changes(samples: Samples, folder: Path, pool: RenderPool) -> None:
    """Labels lie where the picture shows the object: without the first object, a picture changes mostly within that object's mask."""
    shots = Recorded(samples)
    whole = {sample.key: sample for sample in samples if len(sample.scene)}
    codes = {key: write_code(Scene(s.scene.domain, s.scene.objects[1:]), s.domain) for key, s in whole.items()}
    render_codes(codes, shots, folder, on=pool)
    without = Samples(folder)
    for key, sample in whole.items():
        change = np.abs(without[key].pixels().astype(int) - sample.pixels()).mean(2)
        mask = decode_rle(sample.record["labels"][0]["mask"]).astype(bool)
        inside, outside = float(change[mask].mean()), float(change[~mask].mean())
        _expect(
            inside > 3 * outside,
            f"{key}: taking out object 1 changes its mask by {inside:.1f} and the rest by {outside:.1f} of 255: labels lie elsewhere",
        )


def a_sample_depends_on_seed_and_index_alone(samples: Samples, folder: Path, pool: RenderPool) -> None:
    """Generated again, fewer, by another worker, in other shards, in two calls, samples have equal code and labels and the same image."""
    settings = replace(small_set(samples.at(0).domain.name), shard_size=2)
    for num in (1, 3):
        report(folder, num, generate_missing(settings, num, folder, pool))
    for sample in Samples(folder):
        twin = samples[sample.key]
        _expect(sample.files()[".json"] == twin.files()[".json"], f"{sample.key} has other labels when it is made again")
        _expect(sample.code == twin.code, f"{sample.key} has another code when it is made again")
        _expect(same_image(sample.pixels(), twin.pixels()), f"{sample.key} has another image when it is made again")


def the_true_code_gives_the_true_image(samples: Samples, folder: Path, pool: RenderPool) -> None:
    """Code rendered under the recorded light gives the generated image again, with the same labels."""
    rendered = render_codes({key: samples.code(key) for key in samples.keys}, Recorded(samples), folder, on=pool)
    _expect(rendered.keys == samples.keys, f"code that cannot be rendered: {rendered.refused}")
    again = Samples(folder)
    for sample in samples:
        twin = again[sample.key]
        _expect(same_image(sample.pixels(), twin.pixels()), f"{sample.key}: its code gives another image")
        for what in ("code", "scene", "shot"):
            _expect(getattr(twin, what) == getattr(sample, what), f"{sample.key}: rendered from its code, it has another {what}")
        _expect(twin.record["labels"] == sample.record["labels"], f"{sample.key}: rendered from its code, it has other labels")


DOMAIN_CHECKS: tuple[Callable[[Domain], None], ...] = (
    splits_are_sound_and_can_be_drawn,
    scenes_are_valid_and_canonical,
    narrowed_splits_are_kept,
    code_comes_back,
    mirrored_scenes_lie_mirrored,
    what_is_not_declared_is_refused,
)
SAMPLE_CHECKS: tuple[Callable[[Samples, Path, RenderPool], None], ...] = (
    samples_hold_what_they_promise,
    masks_are_what_is_seen,
    masks_are_what_changes,
    a_sample_depends_on_seed_and_index_alone,
    the_true_code_gives_the_true_image,
)
"""Each check is given a folder of its own to write to, and a pool that is not the one which made the samples."""


def _expect(kept: bool | np.bool_, message: str) -> None:
    if not kept:
        raise Broken(message)


def _settings(domain: Domain, split: str = "default") -> DatasetSettings:
    return DatasetSettings(domain.name, split, width=64, height=48)


def _scenes(settings: DatasetSettings) -> Iterator[Scene]:
    return (draw(settings, index).scene for index in range(SCENES))


def _narrowed(domain: Domain, split: Split) -> Iterator[Scene]:
    return _scenes(DatasetSettings(domain.name, rules=split, width=64, height=48))


def _through_json(data: object) -> dict:
    found: dict = json.loads(json.dumps(data))
    return found
