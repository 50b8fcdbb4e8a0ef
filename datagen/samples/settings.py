"""The settings of a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from datagen.domains.base import Domain
from datagen.domains.camera_ranges import CameraRanges
from datagen.domains.registry import get_domain
from datagen.domains.split_files import check_counts, check_split, split_from_json
from datagen.domains.splits import Split, SplitFile
from datagen.domains.staged import StagedDomain
from datagen.errors import UserError
from datagen.flags import Flag, positive
from datagen.geometry.ground import sweep_for
from datagen.images.encoding import IMAGE_SUFFIXES
from datagen.io.declared import Count, FileName, as_declared
from datagen.io.untrusted import refuse
from datagen.samples.cameras import (
    CLEARANCE,
    CamerasFile,
    bare_spots,
    bare_views,
    cameras_from_json,
    cameras_to_json,
    check_cameras,
    extremes,
)
from datagen.samples.lamps import LAMP_CLEARANCE
from datagen.samples.record import MAX_SEED, Side
from datagen.scene import QUALITIES, Camera, Lamp, Quality, Shot, Vec3, check_frame

MAX_SHARD_SIZE = 1_000_000
MAX_VIEWS = 256


ShardSize = Annotated[int, Meta(ge=1, le=MAX_SHARD_SIZE)]
Jitter = Annotated[float, Meta(ge=0, le=100)]


class SettingsRecord(Struct, kw_only=True):
    """The settings as stored in ``dataset.json``: see `DatasetSettings`."""

    domain: str
    split: FileName
    rules: SplitFile
    seed: Annotated[int, Meta(ge=0, lt=MAX_SEED)]
    width: Side
    height: Side
    quality: Quality
    min_objects: Count
    max_objects: Count
    cameras: CamerasFile
    camera_jitter: Jitter
    light_jitter: Jitter
    image_format: str
    captions: bool
    depth: bool
    shard_size: ShardSize
    views: Annotated[int, Meta(ge=1, le=MAX_VIEWS)] = 1
    shot_in_code: bool = False


@dataclass(frozen=True)
class DatasetSettings:
    """The settings of a data set. Together with an index they determine a sample; ``shard_size`` only affects where the sample is stored.

    ``rules`` are the split's rules, and their name replaces ``split``; without rules, ``split`` names a split of the domain. Numbers of
    objects default to those of the split, ``cameras`` to the domain's camera, if it has one. ``camera_jitter`` moves the camera's location,
    ``light_jitter`` every lamp, uniformly by at most so many metres along each axis. With several ``views``, each scene is seen by so many
    cameras: consecutive samples, which ``shard_size``, rounded down to whole scenes, keeps together. After construction no field is None,
    and only ``cameras`` may be empty: in a domain without a camera, and where the split draws cameras. Raises `UserError` for impossible
    settings.
    """

    domain: Annotated[str, Flag("kind of scene: one of those below")] = "clevr"
    split: Annotated[str, Flag("what scenes may hold: a split of the domain, or a JSON file", "NAME|FILE")] = "default"
    rules: Split | None = None
    seed: Annotated[int, Flag("seed of all that is drawn: another gives other scenes", "N")] = 0
    width: Annotated[int, Flag("width of the images, pixels", "N", positive)] = 320
    height: Annotated[int, Flag("height of the images, pixels", "N", positive)] = 240
    quality: Annotated[Quality, Flag("draft is quick and grainy, reference slow and clean")] = "standard"
    min_objects: Annotated[int | None, Flag("fewest objects in a scene (default: the split's)", "N")] = None
    max_objects: Annotated[int | None, Flag("most objects in a scene (default: the split's)", "N")] = None
    cameras: Annotated[
        tuple[Camera, ...],
        Flag("cameras: a JSON file, or names out of main, left, right, behind, top, with commas (default: main)", "FILE|NAME", str),
    ] = ()
    camera_jitter: Annotated[float, Flag("metres a camera is moved by at most, along each axis", "M")] = 0.0
    light_jitter: Annotated[float, Flag("metres a lamp is moved by at most, along each axis", "M")] = 1.0
    image_format: Annotated[
        str, Flag("file format of the images; jpg and webp lose a little", name="format", more={"choices": tuple(IMAGE_SUFFIXES)})
    ] = "png"
    captions: Annotated[bool, Flag("add {key}.txt: a few true sentences about the scene")] = False
    depth: Annotated[bool, Flag("add {key}.depth.npy: metres to what each pixel shows")] = False
    views: Annotated[int, Flag("samples of each scene, each by another of --cameras, or by --camera-jitter", "N", positive)] = 1
    shot_in_code: Annotated[bool, Flag("begin the code with camera and lamps, so that it says all that the image depends on")] = False
    shard_size: Annotated[int, Flag("samples in each shard, which is one tar", "N", positive)] = 1000

    def __post_init__(self) -> None:
        domain = self.resolved_domain
        rules = self.rules or domain.split(self.split)
        check_split(rules, domain, f"the split {rules.name!r}")
        least, most = rules.objects
        self._fill(split=rules.name, rules=rules)
        self._fill(min_objects=least if self.min_objects is None else self.min_objects)
        self._fill(max_objects=most if self.max_objects is None else self.max_objects)
        check_counts(self.objects, domain, "the data set")
        if self.quality not in QUALITIES:
            raise UserError(f"quality {self.quality!r} is none of {', '.join(QUALITIES)}")
        if not 0 <= self.seed < MAX_SEED:
            raise UserError(f"the seed {self.seed} is not in [0, {MAX_SEED})")
        check_frame(self.width, self.height)
        if self.image_format not in IMAGE_SUFFIXES:
            raise UserError(f"image format {self.image_format!r} is none of {', '.join(IMAGE_SUFFIXES)}")
        if not 1 <= self.shard_size <= MAX_SHARD_SIZE:
            raise UserError(f"a shard size of {self.shard_size}: from 1 to {MAX_SHARD_SIZE:,} samples are possible")
        if not 1 <= self.views <= MAX_VIEWS:
            raise UserError(f"{self.views} views of a scene: from 1 to {MAX_VIEWS} are possible")
        if self.views > self.shard_size:
            raise UserError(f"{self.views} views of a scene do not fit into a shard of {self.shard_size}; ask for a larger shard size")
        self._fill(shard_size=self.shard_size - self.shard_size % self.views)
        self._check_shots(domain)
        if self.shot_in_code:
            self._check_header(domain)

    @cached_property
    def resolved_domain(self) -> Domain:
        """The domain named ``domain``."""
        return get_domain(self.domain)

    def __getstate__(self) -> dict[str, Any]:
        """The fields without the cached domain, which is found again by its name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _fill(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_shots(self, domain: Domain) -> None:
        template = domain.canonical_shot(self.width, self.height, self.quality)
        for name, value in (("camera", self.camera_jitter), ("light", self.light_jitter)):
            if not 0 <= value <= 100:
                raise UserError(f"a {name} jitter of {value:g} m: from 0 to 100 are possible")
        if template.camera is None:
            self._refuse_views(domain)
            return
        if self.allowed.camera:
            self._check_ranges(self.allowed.camera, domain)
            return
        self._fill(cameras=self.cameras or (template.camera,))
        check_cameras(self.cameras, self.camera_jitter, domain.ground, (self.width, self.height), "the cameras")
        if self.views > len(self.cameras) and self.camera_jitter == 0:
            raise UserError(
                f"{self.views} views of a scene need as many cameras, and there {'is' if len(self.cameras) == 1 else 'are'} "
                f"{len(self.cameras)} without jitter; name more cameras, or ask for a camera jitter"
            )
        if domain.ground is None:
            return
        sweeps = {sweep_for(domain.ground, camera, self.width, self.height) for camera in self.cameras}
        self._check_lamps([sweep.room for sweep in sweeps], template.lamps)

    def _check_ranges(self, ranges: CameraRanges, domain: Domain) -> None:
        """Raise `UserError` for settings that do not go with the ranges from which the split draws cameras."""
        given = {"cameras": self.cameras, "a camera jitter": self.camera_jitter}
        for name, value in given.items():
            if value:
                raise UserError(f"the split {self.split!r} draws the camera of every scene: {name} cannot be asked for beside it")
        if domain.ground is None:
            return
        if ranges.least_height() < CLEARANCE:
            allowed = f"such that every camera stands at least {CLEARANCE:g} m above the ground"
            refuse(f"the split {self.split!r}", "camera.elevation", list(ranges.elevation), allowed)
        self._check_lamps([domain.ground.room_at_any_turn], domain.canonical_shot(self.width, self.height, self.quality).lamps)

    def _check_header(self, domain: Domain) -> None:
        """Raise `UserError` unless code can say every camera and every lamp that may be drawn."""
        if not isinstance(domain, StagedDomain):
            return
        shot, ranges = self.shot(domain.camera), self.allowed.camera
        cameras = ranges.corners() if ranges else [stand for camera in self.cameras for stand in extremes(camera, self.camera_jitter)]
        lamps = [
            replace(lamp, location=stand.location) for lamp in shot.lamps for stand in extremes(Camera(lamp.location), self.light_jitter)
        ]
        for at in cameras:
            domain.header_of(replace(shot, camera=at))
        for lamp in lamps:
            domain.header_of(replace(shot, lamps=(lamp,)))

    def _check_lamps(self, rooms: Sequence[Callable[[Vec3], float]], lamps: Sequence[Lamp]) -> None:
        """Raise `UserError` if a jittered lamp could come too near to a sweep; `rooms` measure how far a point is in front of each."""
        for lamp in lamps:
            stands = [stand.location for stand in extremes(Camera(lamp.location), self.light_jitter)]
            if min(room(stand) for room in rooms for stand in stands) < LAMP_CLEARANCE:
                raise UserError(
                    f"a light jitter of {self.light_jitter:g} m would bring the {lamp.name} lamp nearer to the ground than "
                    f"{LAMP_CLEARANCE:g} m; ask for less"
                )

    def _refuse_views(self, domain: Domain) -> None:
        """Raise `UserError` for settings that need a camera."""
        asked = {"cameras": self.cameras, "camera jitter": self.camera_jitter, "captions": self.captions, "depth": self.depth}
        asked |= {"several views": self.views > 1, "the shot in code": self.shot_in_code}
        for name, value in asked.items():
            if value:
                raise UserError(f"the {domain.name} domain has no camera: {name} cannot be asked of it")

    def warnings(self) -> list[str]:
        """A warning for each camera whose images will be black in part."""
        ground = self.resolved_domain.ground
        if ground is None:
            return []
        frame, ranges = (self.width, self.height), self.allowed.camera
        return (
            bare_spots(self.cameras, self.camera_jitter, ground, frame) if ranges is None else bare_views(ranges, ground, frame, self.split)
        )

    @property
    def objects(self) -> tuple[int, int]:
        """The fewest and the most objects of a scene."""
        assert self.min_objects is not None and self.max_objects is not None
        return self.min_objects, self.max_objects

    @property
    def allowed(self) -> Split:
        """The rules, which are set after construction."""
        assert self.rules is not None
        return self.rules

    def scene_and_view(self, index: int) -> tuple[int, int]:
        """The number of a sample's scene, and which of the scene's views it is, both from 0."""
        return divmod(index, self.views)

    def key(self, index: int) -> str:
        """The base name of a sample's files: ``000000012`` or, of several views of a scene, ``000000012-3``; in the order of indices."""
        scene, view = self.scene_and_view(index)
        return sample_key(scene) if self.views == 1 else f"{sample_key(scene)}-{view:0{len(str(self.views - 1))}d}"

    def index(self, key: str) -> int:
        """The inverse of `key`; ValueError for anything else."""
        scene, _, view = key.partition("-")
        index = int(scene) * self.views + int(view or 0)
        if index < 0 or self.key(index) != key:
            raise ValueError(f"{key:.80} is no sample's key")
        return index

    def check_num(self, num: int) -> None:
        """`UserError` unless a data set can hold so many samples: whole scenes, and at least one."""
        if num < 1:
            raise UserError(f"{num} samples: at least 1 is needed")
        if num % self.views:
            fewer, more = num - num % self.views, num + -num % self.views
            instead = f"{fewer} or {more}" if fewer else str(more)
            raise UserError(f"{num} samples are not whole scenes of {self.views} views each; ask for {instead} samples")

    def shot(self, camera: Camera | None) -> Shot:
        """The shot before any jitter: the frame and quality of the settings, this camera, the domain's lamps."""
        return replace(self.resolved_domain.canonical_shot(self.width, self.height, self.quality), camera=camera)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON with every field, which `from_json` reads back to equal settings; without ``views`` if it is 1, and ``shot_in_code``
        if it is not asked for."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.views == 1:
            del plain["views"]
        if not self.shot_in_code:
            del plain["shot_in_code"]
        return {**plain, "rules": self.allowed.to_json(), "cameras": cameras_to_json(self.cameras)}

    @staticmethod
    def from_json(data: Mapping[str, Any], where: str = "the settings") -> DatasetSettings:
        """The inverse of `to_json`; other keys are ignored. Raises a `UserError` that begins with `where` for damaged settings."""
        stated = as_declared(data, SettingsRecord, where)
        domain = get_domain(stated.domain)
        rules, cameras = split_from_json(data["rules"], domain, where), cameras_from_json(data["cameras"], where)
        if rules.name != stated.split:
            refuse(where, "split", stated.split, f"the name of its rules, {rules.name!r}")
        return DatasetSettings(**{**structs.asdict(stated), "rules": rules, "cameras": cameras})


def sample_key(index: int) -> str:
    """The base name of a scene's files."""
    return f"{index:09d}"
