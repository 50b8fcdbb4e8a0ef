"""Neural scene de-rendering, the baseline: four networks, trained together, find the objects of an image.

Like NSD (Wu et al. 2017) and NS-VQA's scene parser (Yi et al. 2018), they propose regions, segment the object in each, then predict its
attributes and its place. No part is pretrained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from datagen.domains.base import Domain
from datagen.domains.dialects import Dialect
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from model.derender.attributes import AttributeNetwork
from model.derender.config import DerenderConfig
from model.derender.layers import CROP
from model.derender.localisation import LocalisationNetwork
from model.derender.proposals import ProposalHead, Pyramid
from model.derender.regions import crop
from model.derender.segmentation import SegmentationNetwork
from model.staging import staged_if_folder
from model.tokens.pieces import numeric_slots


@dataclass
class DerenderOutput(ModelOutput):
    """``loss`` and its parts (scalars)."""

    loss: torch.Tensor | None = None
    proposal_loss: torch.Tensor | None = None
    mask_loss: torch.Tensor | None = None
    attribute_loss: torch.Tensor | None = None
    location_loss: torch.Tensor | None = None


@dataclass(frozen=True)
class Perceived:
    """The objects found in a batch of images, image by image, hottest first.

    ``image`` (objects,) is the image of each; ``boxes`` (objects, 4) in pixels of the frame (see `model.derender.regions`); ``heat``
    (objects,) in (0, 1]; ``masks`` (objects, `CROP`, `CROP`) in [0, 1] over the crop; ``words``, for every choice, the probabilities
    (objects, vocabulary); ``coordinates`` (objects, numbers) in normalised units.
    """

    image: torch.Tensor
    boxes: torch.Tensor
    heat: torch.Tensor
    masks: torch.Tensor
    words: tuple[torch.Tensor, ...]
    coordinates: torch.Tensor


class Derenderer(PreTrainedModel):
    """The four networks as one model. `UserError` for a domain of several statements, whose objects differ in attributes."""

    config_class: ClassVar[type] = DerenderConfig
    base_model_prefix = "derenderer"
    main_input_name = "pixel_values"
    # Each loss is divided by its own count, which comes with the batch (see `model.training.trainer`).
    accepts_loss_kwargs = False

    def __init__(self, config: DerenderConfig) -> None:
        super().__init__(config)
        self.domain = get_domain(config.domain)
        check_domain(self.domain)
        self.slots = numeric_slots(Dialect(self.domain))
        self.frame = (config.image_height, config.image_width)
        self.features = Pyramid(config)
        self.proposals = ProposalHead(config)
        self.segmentation = SegmentationNetwork(config)
        self.attributes = AttributeNetwork(config, [len(choice.words) for choice in self.domain.statements[0].choices])
        self.localisation = LocalisationNetwork(config, sum(slot.coordinate_count for slot in self.slots))
        self.post_init()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *arguments: Any, **keywords: Any) -> Any:
        """As for any transformers model. Of a folder, only the configuration and the weights are read (`model.staging`)."""
        with staged_if_folder(pretrained_model_name_or_path) as where:
            return super().from_pretrained(where, *arguments, **keywords)

    def _init_weights(self, module: nn.Module) -> None:
        """Initialise weights as He et al. 2015, which suits ReLU; the library's default suits transformers."""
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d | nn.Linear):
            init.kaiming_normal_(module.weight, nonlinearity="relu")

    def own_state_dict(self) -> dict[str, torch.Tensor]:
        """The tensors that the model's file holds: all of its state."""
        return self.state_dict()

    @property
    def loss_weights(self) -> dict[str, float]:
        """The parts of the loss by name, with their weights."""
        return {"proposal_loss": 1.0, "mask_loss": 1.0, "attribute_loss": 1.0, "location_loss": self.config.number_weight}

    def loss_counts(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """(4,) float32, the divisor of each part of the loss: the number of objects in the batch."""
        return (batch["boxes"][..., 2] > 0).sum().float().expand(len(self.loss_weights))

    def forward(
        self,
        pixel_values: torch.Tensor,
        *,
        boxes: torch.Tensor,
        regions: torch.Tensor,
        owners: torch.Tensor,
        words: torch.Tensor,
        numbers: torch.Tensor,
        counts: torch.Tensor | None = None,
    ) -> DerenderOutput:
        """One pass with the true regions, or with regions a little off them.

        ``pixel_values`` (images, 3, height, width); ``boxes`` (images, objects, 4) are the true boxes, 0 wide where there is no object, and
        ``regions`` of the same shape stand for proposals; ``owners`` (images, height, width) is the number of each pixel's object, from
        1, 0 for none; ``words`` (images, objects, choices) holds the indices of words, ``numbers`` (images, objects, coordinates) is in
        normalised units. ``counts`` (4,) are the divisors of the summed losses, by default those of this batch.
        """
        features = self.features(pixel_values)
        if counts is None:
            counts = self.loss_counts({"boxes": boxes})
        present = boxes[..., 2] > 0
        image, number = present.nonzero().unbind(1)
        heat, read = self.proposals(features)
        sums = [self.proposals.loss(heat, read, boxes)]
        if len(image):
            region = regions[present]
            pixels = crop(pixel_values, image, region, self.frame, CROP)
            log_odds = self.segmentation(features, pixels, image, region)
            views = _views(pixels, log_odds.sigmoid().detach())  # masks are trained by their own loss alone
            sums.append(self.segmentation.loss(log_odds, owners, number + 1, image, region))
            sums.append(self.attributes.loss(self.attributes(views, region), words[present]))
            sums.append(self.localisation.loss(self.localisation(views, region), numbers[present]))
        shares = 1 / counts.to(features.device).clamp(min=1)
        output = DerenderOutput(loss=torch.zeros((), device=features.device))
        for i, (part, (name, weight)) in enumerate(zip(sums, self.loss_weights.items(), strict=False)):
            output[name] = part * shares[i]
            output.loss = output.loss + weight * output[name]
        return output

    def perceive(self, pixel_values: torch.Tensor) -> Perceived:
        """The objects in images (images, 3, height, width), normalised."""
        features = self.features(pixel_values)
        heat, read = self.proposals(features)
        image, boxes, score = self.proposals.peaks(heat, read, self.domain.max_objects, self.config.threshold)
        pixels = crop(pixel_values, image, boxes, self.frame, CROP)
        masks = self.segmentation(features, pixels, image, boxes).sigmoid()
        views = _views(pixels, masks)
        words = tuple(logits.softmax(1) for logits in self.attributes(views, boxes))
        return Perceived(image, boxes, score, masks, words, self.localisation(views, boxes))


def _views(pixels: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Crops (regions, 3, size, size), joined with copies that show all but the object in the mean colour: (regions, 6, size, size)."""
    return torch.cat([pixels, pixels * masks[:, None].to(pixels.dtype)], dim=1)


def check_domain(domain: Domain) -> None:
    """`UserError` unless the domain has one statement."""
    if len(domain.statements) != 1:
        names = ", ".join(statement.name for statement in domain.statements)
        raise UserError(f"de-rendering takes a domain of one statement; {domain.name} has {names}")
