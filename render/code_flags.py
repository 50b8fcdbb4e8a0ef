"""The flags that say which code is rendered, by which cameras, under which light, and what is written of it besides colour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from datagen.commandline import Verb, place
from datagen.errors import UserError
from datagen.flags import Flag, positive
from datagen.scene import Camera, Lamp, Quality
from datagen.verbs import Place, own_domain_name

if TYPE_CHECKING:
    from render.codes import Codes
    from render.rerender import OneByOne, Recorded, Shots, Standard


@dataclass(frozen=True)
class Asked:
    """The codes to render by the keys of their pictures, how each of these is photographed, and by key the key of its code in ``found``."""

    codes: Mapping[str, str]
    shots: "Shots | OneByOne"
    sources: Mapping[str, str]
    found: "Codes"

    def refused(self, refused: Mapping[str, str]) -> dict[str, str]:
        """By the place of their code, the reasons why pictures of these keys were refused, and why codes could not be read at all."""
        reasons = self.found.unreadable | {self.sources[key]: reason for key, reason in refused.items()}
        return {self.found.places[key]: reason for key, reason in reasons.items()}


@dataclass(frozen=True, kw_only=True)
class CodeVerb(Verb):
    """The flags of a verb that renders code."""

    code: Annotated[
        Sequence[Path],
        Flag(
            "pred.jsonl, .py files of graphics code, folders of these or of shards, - for standard input", "FILE", Path, more={"nargs": "+"}
        ),
    ]
    data: Annotated[
        Place | None, Flag("data set whose size, quality, and, where the code states none, camera and light to use", "DIR|URL", place)
    ] = None
    lighting: Annotated[
        Literal["canonical", "recorded"] | None,
        Flag("recorded: the light of --data (default with it); canonical: the standard light of the domain, whatever the code states"),
    ] = None
    cameras: Annotated[
        str | None, Flag("cameras to render from: a JSON file, or names out of main, left, right, behind, top, with commas", "FILE|NAME")
    ] = None
    views: Annotated[int | None, Flag("render from so many cameras, evenly around the scene: {key}-0, {key}-1, ...", "N", positive)] = None
    lamps: Annotated[Path | None, Flag("JSON file of lamps by name, which replace all others", "FILE")] = None
    depth: Annotated[bool, Flag("also write {key}.depth.npy: metres along the camera's axis to what each pixel shows")] = False
    masks: Annotated[bool, Flag("also write {key}.masks.png: the number of the object that each pixel shows, 0 for none")] = False
    normals: Annotated[bool, Flag("also write {key}.normals.npy: the surfaces' unit normals in the world frame")] = False
    domain: Annotated[str | None, Flag("kind of scene, where no --data says it (default: clevr, or assets with --assets)")] = None
    assets: Annotated[Path | None, Flag("model files of your own that the code names as shapes", "DIR")] = None
    textures: Annotated[Path | None, Flag("images of your own that the code names as textures", "DIR")] = None
    width: Annotated[int | None, Flag("width of the images, pixels (default: the sample's; 320 without --data)", "N", positive)] = None
    height: Annotated[int | None, Flag("height of the images, pixels (default: the sample's; 240 without --data)", "N", positive)] = None
    quality: Annotated[
        Quality | None, Flag("draft is quick and grainy, reference slow and clean (default: the sample's; standard without --data)")
    ] = None

    @property
    def passes(self) -> list[str]:
        """The passes of `datagen.samples.passes` that are asked for."""
        return [name for name in ("depth", "masks", "normals") if getattr(self, name)]

    def asked(self) -> Asked:
        """What to render. `UserError` for flags that contradict one another, and for what they name if it cannot be read."""
        from render.codes import gather_codes
        from render.other_shots import OtherShots
        from render.refined import Found
        from render.rerender import InCode, Standard

        otherwise = self._shots()
        cameras, lamps = self._cameras(otherwise), self._lamps()
        found = gather_codes(self.code)
        shots: Shots = otherwise
        if found.found and isinstance(otherwise, Standard):
            sides = {name: value for name in ("width", "height") if (value := getattr(self, name)) is not None}
            shots = Found(otherwise, found.found, self.lighting == "canonical", sides)
        shots = InCode(shots, found.codes)
        if not cameras and self.views is None and lamps is None:
            return Asked(found.codes, shots, {key: key for key in found.codes}, found)
        codes, others = OtherShots(shots, cameras, self.views, lamps).of(found.codes)
        return Asked(codes, others, others.sources, found)

    def _shots(self) -> "Recorded | Standard":
        """How each code is photographed, before other cameras and lamps are taken."""
        from datagen.samples.settings import MAX_VIEWS
        from datagen.shards.reader import Samples
        from render.rerender import Recorded, Standard

        frame = {name: value for name in ("width", "height", "quality") if (value := getattr(self, name)) is not None}
        if self.data and frame:
            raise UserError(f"--{next(iter(frame))} and --data exclude each other: with --data the frame is the sample's")
        if self.lighting == "recorded" and not self.data:
            raise UserError("--lighting recorded needs --data, the data set that recorded it")
        if self.lighting and self.lamps:
            raise UserError("--lighting and --lamps exclude each other: --lamps replaces all lamps")
        if self.cameras and self.views:
            raise UserError("--cameras and --views exclude each other: --views turns one camera around the scene")
        if self.views is not None and self.views > MAX_VIEWS:
            raise UserError(f"--views {self.views}: at most {MAX_VIEWS} are possible")
        domain = own_domain_name("render", self.domain, self.assets, self.textures)
        if not self.data:
            return Standard(domain or Standard.domain, **frame, canonical_light=self.lighting == "canonical")
        recorded = Recorded(Samples(self.data), self.lighting == "canonical")
        if domain and recorded.domain.name != domain:
            raise UserError(f"{self.data}: is of the domain {recorded.domain.name}, not of {domain}")
        return recorded

    def _cameras(self, shots: "Recorded | Standard") -> tuple[Camera, ...]:
        if self.cameras is None:
            return ()
        from datagen.domains.registry import get_domain
        from datagen.samples.viewpoints import find_cameras

        domain = shots.domain
        return find_cameras(self.cameras, get_domain(domain) if isinstance(domain, str) else domain)

    def _lamps(self) -> tuple[Lamp, ...] | None:
        if self.lamps is None:
            return None
        from datagen.samples.lamps import load_lamps

        return load_lamps(self.lamps)
