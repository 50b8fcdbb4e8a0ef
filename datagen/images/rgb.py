"""An opened image of any mode as 8-bit sRGB, upright, as displayed: its numbers are read as its format defines them, without guessing."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms, ImageFile, PngImagePlugin, TiffImagePlugin

from datagen.images.limits import max_pixels
from datagen.images.png_colors import as_srgb, grey_gamma, load_png

ORIENTATION = 0x0112  # the EXIF tag
TIFF_TILE_WIDTH, TIFF_TILE_HEIGHT = 322, 323
TIFF_BITS, TIFF_PHOTOMETRIC, TIFF_FILL_ORDER, TIFF_SAMPLES, TIFF_PLANAR, TIFF_SAMPLE_FORMAT = 258, 262, 266, 277, 284, 339
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""The mode of images for each colour space of profiles."""
SAVE_AS = "save it with 8 or 16 bits a channel"


class PixelsError(ValueError):
    """The pixels cannot be displayed, even if they can be decoded, so that no other attempt at decoding would help."""


def as_rgb(image: Image.Image, data: bytes) -> Image.Image:
    """The first frame in mode RGB of an image that was opened from `data`.

    `PixelsError` with the reason if the file does not define how dark or light its numbers are, if Pillow would misread them, or if all of
    the image is transparent.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff(image)
    loaded: Image.Image = image
    if isinstance(image, PngImagePlugin.PngImageFile) and image.tile:
        loaded = load_png(image, raw_mode(image.tile[0]), data)
    image.load()
    if image.mode == "F":
        shown = _grey(_from_floats(image))
    elif image.mode.startswith("I"):
        shown = _from_deep(image, grey_gamma(image, data))
    else:
        shown = _on_white(loaded)
    turn = _UPRIGHT.get(_orientation(image))
    shown = shown if turn is None else shown.transpose(turn)
    return _in_srgb(shown, image.info.get("icc_profile"))


def _check_tiff(image: TiffImagePlugin.TiffImageFile) -> None:
    """`PixelsError` for numbers that Pillow would misread, and for tiles that are too large. Sets the raw mode where that is enough."""
    tags = image.tag_v2
    if tags.get(TIFF_TILE_WIDTH, 0) * tags.get(TIFF_TILE_HEIGHT, 0) > max_pixels():  # tiles are decoded whole
        raise PixelsError(f"it has tiles of {tags[TIFF_TILE_WIDTH]:,}x{tags[TIFF_TILE_HEIGHT]:,} pixels")
    if 2 in tags.get(TIFF_SAMPLE_FORMAT, ()):
        raise PixelsError(f"it has numbers with a sign, and nothing says which of them is white; {SAVE_AS}")
    bits = set(tags.get(TIFF_BITS, (1,)))
    if tags.get(TIFF_PLANAR) == 2 and all(tile.codec_name == "raw" for tile in image.tile):  # Pillow's raw mode is then the channel alone
        if bits == {16} and image.mode in ("RGB", "RGBA"):
            order = "L" if tags.prefix == b"II" else "B"
            image.tile = [tile._replace(args=(f"{raw_mode(tile)};16{order}", *(tile.args or ())[1:])) for tile in image.tile]
        elif bits != {8} or tags.get(TIFF_FILL_ORDER, 1) != 1 or (tags.get(TIFF_SAMPLES, 1) == 1 and tags.get(TIFF_PHOTOMETRIC, 0) == 0):
            raise PixelsError(
                "its channels lie one after the other (PlanarConfiguration 2) in a way that is not understood; save it without"
            )
    if max(bits) > 8 and image.mode[0] not in "FI" and not all(";16" in raw_mode(tile) for tile in image.tile):
        raise PixelsError(f"it has channels of {max(bits)} bits in a way that is not understood; {SAVE_AS}")


def raw_mode(tile: ImageFile._Tile) -> str:
    """Pillow's raw mode, such as "RGB;16B", for a tile of an image that is not yet loaded."""
    return tile.args if isinstance(tile.args, str) else str((tile.args or ("",))[0])


def _grey(shares: np.ndarray) -> Image.Image:
    """A grey image from shares of white, (height, width) in [0, 1]."""
    return Image.fromarray(np.round(255 * shares).astype(np.uint8))


def _from_floats(image: Image.Image) -> np.ndarray:
    """Shares of white from floating-point numbers in [0, 1], where a TIFF may define 0 as white. `PixelsError` for other numbers, whose
    lightness is not defined."""
    values = np.asarray(image)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        found = f"from {np.nanmin(values):g} to {np.nanmax(values):g}" if np.isfinite(values).all() else "that are infinite or none"
        raise PixelsError(f"it has floating-point numbers {found}, and only 0 for black to 1 for white is understood; {SAVE_AS}")
    return 1 - values if _is_white_0(image) else values


def _is_white_0(image: Image.Image) -> bool:
    return isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(TIFF_PHOTOMETRIC, 0) == 0


def _from_deep(image: Image.Image, gamma: float | None) -> Image.Image:
    """Grey of more than 8 bits as 8 bits, by a table of its 65,536 shades. `PixelsError` if the format does not define what is white."""
    values = np.asarray(image)
    white, shades = 65535, np.arange(65536)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        if image.mode == "I":
            unsigned = values.view(np.uint32)  # Pillow has no unsigned mode of 32 bits
            found = f"from {unsigned.min()} to {unsigned.max()}"
            raise PixelsError(
                f"it has whole numbers of {tags[TIFF_BITS][0]} bits, {found}, and nothing says which of them is white; {SAVE_AS}"
            )
        white = 2 ** tags[TIFF_BITS][0] - 1
        if _is_white_0(image):
            shades = white - shades
    if values.min() < 0 or values.max() >= len(shades):
        raise PixelsError(f"it has numbers from {values.min()} to {values.max()}, and 16 bits have only 0 to 65535; {SAVE_AS}")
    shares = np.clip(shades / white, 0, 1)
    clear = image.info.get("transparency")
    if isinstance(clear, int) and 0 <= clear < len(shares):
        shares[clear] = 1
    seen = np.round(255 * (as_srgb(shares, gamma) if gamma else shares)).astype(np.uint8)
    return Image.fromarray(seen[values])


def _on_white(image: Image.Image) -> Image.Image:
    """The image on white. Without transparency, L, CMYK and RGB stay as they are, because the colour profile is for that mode.

    `PixelsError` if every pixel is transparent.
    """
    if not image.has_transparency_data:
        return image if image.mode in ("L", "CMYK", "RGB") else image.convert("RGB")
    shown = image.convert("RGBA")
    if shown.getchannel("A").getextrema()[1] == 0:
        raise PixelsError("every pixel of it is transparent")
    return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1, upright, if there is none or the metadata is damaged."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # Pillow raises any error for damaged metadata
        return 1


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image in sRGB, converted by its colour profile if there is one that can be read."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            mode = _MODES.get(source.profile.xcolor_space.strip())
            if mode == image.mode or (mode == "RGB" and image.mode == "L"):
                made = ImageCms.profileToProfile(image.convert(mode), source, ImageCms.createProfile("sRGB"), outputMode="RGB")
                assert made is not None
                return made
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # an unreadable profile is ignored
    return image if image.mode == "RGB" else image.convert("RGB")  # not for RGB, which it would copy
