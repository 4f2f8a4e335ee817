"""One image file as the pixels that a network takes: upright, on a background, cropped, padded or squashed."""

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.data.input_spec import Framing
from nas.errors import InvalidInput

GREY_MODES = ("1", "L", "LA", "La")  # of Pillow; images of all other modes count as colour
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # of Pillow; no other decoder sees a file (EPS runs one)
MOST_PIXELS = 100_000_000  # of one image: 400 MB decoded with transparency
DRAFT = 2  # a JPEG far larger than needed is decoded at 1/2, 1/4 or 1/8, but at no less than this many times the side


def open_image(source: Path | BytesIO) -> Any:
    """Return the Pillow image in `source`, opened by the decoders of `FORMATS` alone, whatever its name ends in.

    Its header has been read, none of its pixels; `ValueError` where it has more than `MOST_PIXELS`.
    """
    from PIL import Image, UnidentifiedImageError

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # such an image is refused below
    try:
        image = Image.open(source, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ValueError(f"it is no image of the formats {', '.join(FORMATS)}") from error
    if image.width * image.height > MOST_PIXELS:
        image.close()
        raise ValueError(f"it has {image.width:,} x {image.height:,} pixels; at most {MOST_PIXELS:,} are decoded")
    return image


def read_image(
    source: Path | BytesIO, size: int | tuple[int, int], channels: int, framing: Framing
) -> npt.NDArray[np.uint8]:
    """Return the image in `source` as uint8 [height, width, channels]; `InvalidInput` names a file that is damaged.

    `size` is (height, width), or the side of a square.
    """
    height, width = (size, size) if isinstance(size, int) else size
    try:
        with open_image(source) as image:
            image.draft("RGB", (DRAFT * width, DRAFT * height))  # JPEG only
            framed = fitted(image, (height, width), channels, framing)
    except Exception as error:  # a decoder fails on broken bytes in any way, and each means the same to the user
        raise InvalidInput(f"cannot read the image {source}: {error}; repair or remove it") from error
    return np.asarray(framed, dtype=np.uint8).reshape(height, width, channels)


def fitted(image: Any, size: tuple[int, int], channels: int, framing: Framing) -> Any:
    """Return a Pillow image with the `size` (height, width) that a network takes, grey (L) or in colour (RGB).

    It is turned upright as its EXIF tag says; transparent pixels are laid on the background, at full resolution.
    """
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    across, mode, grey = size[::-1], "L" if channels == 1 else "RGB", framing.background
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, (grey, grey, grey, 255))
        image = Image.alpha_composite(opaque, image.convert("RGBA"))
    image = image.convert(mode)
    if framing.fit == "pad":
        return ImageOps.pad(image, across, Image.Resampling.BILINEAR, color=grey if mode == "L" else (grey, grey, grey))
    if framing.fit == "squash":
        return image.resize(across, Image.Resampling.BILINEAR)
    return ImageOps.fit(image, across, Image.Resampling.BILINEAR)
