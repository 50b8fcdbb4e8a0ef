"""The graphics code of the objects that a `Derenderer` perceives."""

from __future__ import annotations

import torch

from datagen.code.grammar import write_object
from datagen.errors import UserError
from datagen.scene import Object
from model.derender.derenderer import Derenderer
from model.tokens.pieces import Slot


@torch.inference_mode()
def write_perceived(model: Derenderer, pixel_values: torch.Tensor) -> list[tuple[str, tuple[float, ...]]]:
    """The canonical code of images (images, 3, height, width), and a confidence in [0, 1] per statement.

    An object's confidence is the heat of its proposal times the probability of each of its words. Numbers are clipped to the declared
    ranges, periodic ones wrapped into them. The model is left in evaluation mode. `UserError` if its output is NaN or infinite.
    """
    model.eval()
    perceived = model.perceive(pixel_values)
    found = [choice.max(1) for choice in perceived.words]
    confidence = torch.stack([perceived.heat, *(best.values for best in found)]).prod(0)
    if not (confidence.isfinite().all() and perceived.coordinates.isfinite().all()):
        raise UserError("the model's output is not a number: its weights are damaged, or its training went astray")
    words = torch.stack([best.indices for best in found], dim=1).tolist() if found else [[]] * len(perceived.image)
    objects: list[list[tuple[Object, float]]] = [[] for _ in pixel_values]
    of_objects = (perceived.image.tolist(), words, perceived.coordinates.tolist(), confidence.tolist())
    for image, chosen, coordinates, probability in zip(*of_objects, strict=True):
        objects[image].append((_object(model, chosen, coordinates), round(probability, 6)))
    domain = model.domain
    for of_image in objects:
        of_image.sort(key=lambda pair: domain.order(pair[0]))
    return [("".join(write_object(obj, domain) + "\n" for obj, _ in one), tuple(probability for _, probability in one)) for one in objects]


def _object(model: Derenderer, words: list[int], coordinates: list[float]) -> Object:
    """The canonical object with these words, given by index, and coordinates, slot after slot."""
    statement = model.domain.statements[0]
    values = {choice.name: choice.words[word] for choice, word in zip(statement.choices, words, strict=True)}
    components: dict[str, list[float]] = {number.name: [] for number in statement.numbers}
    for slot in model.slots:
        taken, coordinates = coordinates[: slot.coordinate_count], coordinates[slot.coordinate_count :]
        components[slot.argument.name].append(_within(slot, slot.denormalise(slot.from_coordinates(taken))))
    numbers = {number.name: number.as_value(components[number.name]) for number in statement.numbers}
    return model.domain.canonical_object(Object(statement.name, {**values, **numbers}))


def _within(slot: Slot, value: float) -> float:
    """The value moved into the declared range: by whole periods where it has one, then to the nearest end."""
    if slot.argument.period:
        value = slot.low + (value - slot.low) % slot.argument.period
    return min(max(value, slot.low), slot.high)
