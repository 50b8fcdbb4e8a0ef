"""The verb that opens the studio. Heavy imports are made when it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from datagen.commandline import Verb, place
from datagen.errors import UserError
from datagen.flags import Flag
from datagen.screen import print_line
from datagen.verbs import MaxPixels, Place
from model.verbs import REPEATED, Device

PORT = 8400


@dataclass(frozen=True, kw_only=True)
class Studio(Verb):
    """A page to try it all: image to code, look, edit, refine, take away.

    Serve a page to this machine's browser: drop an image, or take a sample of --data, or draw a random scene; edit its code beside a 3-D
    view and Blender's picture; take it away as code, picture or .blend. Nothing leaves this machine. Ctrl-C ends it.
    """

    model: Annotated[
        Sequence[str], Flag("a shipped model's name, or a run folder; one for each domain (default: tiny)", "NAME|RUN", more=REPEATED)
    ] = ()
    data: Annotated[Sequence[Place], Flag("data set to take samples from; may be repeated", "DIR|URL", place, more=REPEATED)] = ()
    domain: Annotated[str | None, Flag("kind of scene to begin with (default: that of the first model)")] = None
    assets: Annotated[Path | None, Flag("model files of your own for the shapes of the domain assets", "DIR")] = None
    textures: Annotated[Path | None, Flag("images of your own for the textures of the domain assets", "DIR")] = None
    host: Annotated[str, Flag("address to listen at; beyond this machine, a token is asked for", "ADDRESS")] = "127.0.0.1"
    port: Annotated[int, Flag("port to listen at; 0 is any free one", "N")] = PORT
    device: Device = "auto"
    max_pixels: MaxPixels = None

    def run(self) -> None:
        try:
            from render.studio.serve import listen, serve
        except ImportError as error:
            if error.name not in ("starlette", "uvicorn"):
                raise
            raise UserError(f"the studio needs {error.name}, which is not installed: pip install 'igllm[studio]'") from None
        with listen(self.host, self.port) as listening:  # cheap checks come before anything is loaded
            from datagen.domains.registry import get_domain
            from datagen.shards.reader import Samples
            from render.studio.readers import Readers
            from render.studio.studio import Studio as Work

            own, data = self._own_domain(), [Samples(where) for where in self.data]
            if self.domain:
                get_domain(self.domain)
            readers = Readers(self.model, self.device)
            domain = self.domain or own or readers.domains[0]
            others = [*([own] if own else []), *(one.at(0).domain.name for one in data)]
            with Work(readers, data, domain, others) as work:
                serve(work, listening, self.host, lambda address: print_line(f"igllm studio: open {address} (Ctrl-C ends it)"))

    def _own_domain(self) -> str | None:
        """The domain of the user's own assets and textures, if any are given; prints which of their files are left out."""
        if self.assets is None and self.textures is None:
            return None
        from datagen.assets.own import own_assets
        from datagen.assets.own_textures import own_textures
        from datagen.domains.own_assets import keep_domain

        own = None if self.assets is None else own_assets(self.assets)
        images = None if self.textures is None else own_textures(self.textures)
        for folder, found in ((self.assets, own), (self.textures, images)):
            for line in found.remarks() if found else ():
                print_line(f"igllm studio: {folder}: {line}")
        return keep_domain(own, images)
