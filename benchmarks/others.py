"""Collects and draws images that are no scenes of any domain, for `igllm calibrate --others` and to see whether prediction knows them:

    python benchmarks/others.py OUT [--each N] [--seed S]
    python benchmarks/others.py --told pred.jsonl      # of predictions of such images: by kind, how many are said to be no scene

OUT/fit and OUT/check hold N images of each kind, named KIND-NNN.png. No kind, and no photograph, is in both. Photographs are those that
scikit-image and matplotlib bring and the surroundings that Blender brings to light scenes by: whole ones, crops, and their mirror images.
The rest is drawn: charts, pages of text, shapes, gradients, patterns and noise of several kinds.
"""

from __future__ import annotations

import argparse
import io
import math
import string
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import matplotlib
import numpy as np
import skimage
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps
from scipy.ndimage import gaussian_filter, zoom

from datagen.code.predictions import read_predictions

matplotlib.use("Agg")
SIZE = (320, 240)
Rng = np.random.Generator
Draw = Callable[[Rng], Image.Image]
BUNDLED = Path(skimage.__file__).parent / "data"
PHOTOGRAPHS = {
    "fit": ("astronaut.png", "chelsea.png", "brick.png", "camera.png", "moon.png", "cell.png", "page.png", "retina.jpg"),
    "check": (
        *("coffee.png", "rocket.jpg", "motorcycle_left.png", "hubble_deep_field.jpg", "coins.png", "grass.png", "gravel.png", "ihc.png"),
        *("clock_motion.png", "text.png", "color.png", "horse.png", "logo.png", "phantom.png", "microaneurysms.png"),
    ),
}


@cache
def bundled(name: str) -> Image.Image:
    return Image.open(BUNDLED / name).convert("RGB")


@cache
def surroundings() -> list[np.ndarray]:
    """The panoramas that Blender brings, (height, width, 3) in sRGB."""
    import bpy

    found = []
    for path in sorted(Path(bpy.utils.resource_path("LOCAL"), "datafiles/studiolights/world").glob("*.exr")):
        image = bpy.data.images.load(str(path))
        width, height = image.size
        linear = np.array(image.pixels[:], np.float32).reshape(height, width, -1)[::-1, :, :3]
        linear = linear * 0.4 / max(1e-6, float(np.median(linear)) * 2)
        found.append((255 * linear.clip(0, 1) ** (1 / 2.2)).astype(np.uint8))
        bpy.data.images.remove(image)
    return found


def view(image: Image.Image, rng: Rng) -> Image.Image:
    """A crop of an image of at least a third of its side, mirrored half of the time."""
    width, height = image.size
    share = rng.uniform(0.35, 1.0)
    wide, high = max(16, int(width * share)), max(12, int(height * share))
    left, top = int(rng.integers(width - wide + 1)), int(rng.integers(height - high + 1))
    crop = image.crop((left, top, left + wide, top + high))
    return ImageOps.fit(ImageOps.mirror(crop) if rng.random() < 0.5 else crop, SIZE)


def photograph(names: Sequence[str], rng: Rng) -> Image.Image:
    return view(bundled(names[rng.integers(len(names))]), rng)


def surrounding(rng: Rng) -> Image.Image:
    return view(Image.fromarray(surroundings()[rng.integers(len(surroundings()))]), rng)


def chart(rng: Rng, *, bars: bool) -> Image.Image:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(4, 3), dpi=80)
    if bars:
        count = int(rng.integers(3, 9))
        axes.bar(range(count), rng.random(count), color=rng.random((count, 3)))
    else:
        for _ in range(rng.integers(1, 5)):
            axes.plot(np.cumsum(rng.normal(size=60)), color=rng.random(3))
        axes.grid(bool(rng.random() < 0.5))
    buffer = io.BytesIO()
    figure.savefig(buffer)
    pyplot.close(figure)
    return Image.open(buffer).convert("RGB").resize(SIZE)


def text(rng: Rng) -> Image.Image:
    dark = rng.random() < 0.3
    image = Image.new("RGB", SIZE, (20, 22, 30) if dark else "white")
    pen, size = ImageDraw.Draw(image), int(rng.integers(9, 26))
    for y in range(6, SIZE[1], size + 4):
        line = "".join(rng.choice([*string.ascii_letters, " ", " ", " "], size=80))
        pen.text((8, y), line, fill=(220, 220, 200) if dark else "black", font=ImageFont.load_default(size))
    return image


def colour(rng: Rng) -> tuple[int, int, int]:
    return tuple(int(value) for value in rng.integers(256, size=3))  # type: ignore[return-value]


def shapes(rng: Rng, *, ground: str) -> Image.Image:
    """Flat discs, boxes and polygons."""
    image = Image.new("RGB", SIZE, ground)
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(2, 11)):
        x, y, r = rng.uniform(20, 300), rng.uniform(20, 220), rng.uniform(8, 45)
        kind = rng.integers(3)
        if kind == 0:
            pen.ellipse((x - r, y - r, x + r, y + r), fill=colour(rng))
        elif kind == 1:
            pen.rectangle((x - r, y - r, x + r, y + 0.7 * r), fill=colour(rng))
        else:
            pen.regular_polygon((x, y, r), int(rng.integers(3, 8)), float(rng.uniform(0, 360)), fill=colour(rng))
    return image


def lines(rng: Rng) -> Image.Image:
    """A drawing of lines and arcs, as of a pencil."""
    image = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(10, 60)):
        ends = rng.uniform(0, 1, 4) * [*SIZE, *SIZE]
        if rng.random() < 0.6:
            pen.line(tuple(ends), fill=(30, 30, 30), width=int(rng.integers(1, 4)))
        else:
            x, y = sorted(ends[::2]), sorted(ends[1::2])
            pen.arc((x[0], y[0], x[1] + 1, y[1] + 1), float(rng.uniform(0, 360)), float(rng.uniform(0, 360)), fill=(30, 30, 30), width=2)
    return image


def gradient(rng: Rng) -> Image.Image:
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]] / max(SIZE)
    angle = rng.uniform(0, 2 * math.pi)
    along = x * math.cos(angle) + y * math.sin(angle) if rng.random() < 0.6 else np.hypot(x - rng.random(), y - rng.random())
    share = ((along - along.min()) / np.ptp(along))[..., None]
    return Image.fromarray((np.array(colour(rng)) * (1 - share) + np.array(colour(rng)) * share).astype(np.uint8))


def plain(rng: Rng) -> Image.Image:
    return Image.new("RGB", SIZE, colour(rng) if rng.random() < 0.7 else (int(rng.integers(256)),) * 3)


def noise(rng: Rng, *, grey: bool) -> Image.Image:
    pixels = rng.normal(rng.uniform(60, 190), rng.uniform(15, 90), (SIZE[1], SIZE[0], 1 if grey else 3))
    return Image.fromarray(np.broadcast_to(pixels, (SIZE[1], SIZE[0], 3)).clip(0, 255).astype(np.uint8))


def clouds(rng: Rng) -> Image.Image:
    """Noise whose power falls with frequency, as that of photographs does."""
    frequency = np.hypot(np.fft.fftfreq(SIZE[1])[:, None], np.fft.fftfreq(SIZE[0])) + 1 / max(SIZE)
    layers = [np.fft.ifft2(np.fft.fft2(rng.normal(size=SIZE[::-1])) / frequency ** rng.uniform(0.8, 2)).real for _ in range(3)]
    return Image.fromarray(np.stack([(128 + 50 * (one - one.mean()) / one.std()).clip(0, 255) for one in layers], -1).astype(np.uint8))


def blobs(rng: Rng) -> Image.Image:
    """Blurred spots of colour."""
    small = rng.random((SIZE[1] // 10, SIZE[0] // 10, 3))
    blurred = gaussian_filter(small, (rng.uniform(0.5, 2.5),) * 2 + (0,))
    blurred = (blurred - blurred.min()) / np.ptp(blurred)
    return Image.fromarray((255 * zoom(blurred, (10, 10, 1), order=1).clip(0, 1)).astype(np.uint8))


def pattern(rng: Rng) -> Image.Image:
    """Stripes, squares or rings of two colours."""
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    period, kind = int(rng.integers(6, 50)), rng.integers(3)
    cells = (x // period, x // period + y // period, (np.hypot(x - 160, y - 120) // period).astype(int))[kind] % 2
    return Image.fromarray(np.array([colour(rng), colour(rng)], np.uint8)[cells])


def screen(rng: Rng) -> Image.Image:
    """Boxes and words, as of a program's window."""
    image = Image.new("RGB", SIZE, (240, 240, 244))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, SIZE[0], 24), fill=colour(rng))
    for _ in range(rng.integers(4, 12)):
        x, y = int(rng.integers(0, 260)), int(rng.integers(28, 220))
        pen.rounded_rectangle((x, y, x + int(rng.integers(30, 120)), y + 22), 4, fill=colour(rng), outline="black")
        pen.text((x + 4, y + 4), "".join(rng.choice([*string.ascii_lowercase], size=8)), fill="white")
    return image


def painted_boxes(rng: Rng) -> Image.Image:
    """Boxes and balls as a child paints them, on a grey ground: what a scene of blocks has, and none."""
    image = Image.new("RGB", SIZE, (int(rng.integers(120, 200)),) * 3)
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(2, 8)):
        x, y, r, fill = rng.uniform(40, 280), rng.uniform(60, 200), rng.uniform(12, 36), colour(rng)
        if rng.random() < 0.5:
            pen.ellipse((x - r, y - r, x + r, y + r), fill=fill, outline="black", width=2)
            continue
        shift = 0.5 * r
        top = [(x - r, y - r), (x - r + shift, y - r - shift), (x + r + shift, y - r - shift), (x + r, y - r)]
        side = [(x + r, y - r), (x + r + shift, y - r - shift), (x + r + shift, y + r - shift), (x + r, y + r)]
        pen.rectangle((x - r, y - r, x + r, y + r), fill=fill, outline="black", width=2)
        for face in (top, side):
            pen.polygon(face, fill=tuple(value * 3 // 4 for value in fill), outline="black", width=2)
    return image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 1.2))))


KINDS: dict[str, dict[str, Draw]] = {
    "fit": {
        "photograph": partial(photograph, PHOTOGRAPHS["fit"]),
        "chart-of-lines": partial(chart, bars=False),
        "shapes-on-white": partial(shapes, ground="white"),
        "gradient": gradient,
        "noise": partial(noise, grey=False),
        "blobs": blobs,
        "screen": screen,
    },
    "check": {
        "other-photograph": partial(photograph, PHOTOGRAPHS["check"]),
        "surrounding": surrounding,
        "chart-of-bars": partial(chart, bars=True),
        "text": text,
        "shapes-on-grey": partial(shapes, ground="#909090"),
        "lines": lines,
        "plain": plain,
        "grey-noise": partial(noise, grey=True),
        "clouds": clouds,
        "pattern": pattern,
        "painted-boxes": painted_boxes,
    },
}


def told(path: Path) -> None:
    """Print, by kind, how many of the predicted images do not look like the domain's."""
    found: dict[str, list[bool]] = {}
    for key, prediction in read_predictions(path).items():
        found.setdefault(key.rpartition("-")[0] or "all", []).append(prediction.looks_like_domain is False)
    for kind, strange in [*sorted(found.items()), ("together", [one for of_kind in found.values() for one in of_kind])]:
        print(f"{kind:20} {sum(strange):5} of {len(strange):5}  {100 * sum(strange) / len(strange):5.1f} %")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--told", type=Path)
    parser.add_argument("--each", type=int, default=46)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.told:
        told(options.told)
    elif options.out is None:
        parser.error("name a folder to write to, or --told pred.jsonl")
    for part, kinds in KINDS.items() if options.out else ():
        (options.out / part).mkdir(parents=True, exist_ok=True)
        for number, (kind, draw) in enumerate(kinds.items()):
            for index in range(options.each):
                rng = np.random.default_rng((options.seed, part == "check", number, index))
                draw(rng).save(options.out / part / f"{kind}-{index:03d}.png")
        print(f"{options.out / part}: {len(kinds) * options.each} images of {len(kinds)} kinds")
