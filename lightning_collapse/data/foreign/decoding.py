"""Image files from anyone, as Pillow images: what they claim is checked before it is decoded.

EXIF's orientation is not applied: NVIDIA's tool does not either.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

__all__ = ["convert", "decode", "describe_mode", "image_size", "picture", "resize"]

_MAX_PIXELS = 2**26
_FORMATS = ("PNG", "JPEG")
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_PNG_BITS_AT = 24


def decode(data: bytes) -> Image.Image:
    """Decodes a PNG or JPEG file.

    Raises:
        ValueError: it is not one, is not whole, or has more than 67 million pixels.
    """
    if not data:
        raise ValueError("is empty")
    with _refusing():
        image = _open(io.BytesIO(data))
        image.load()
    # Pillow does without the end of a PNG.
    if image.format == "PNG" and _PNG_END not in data:
        raise ValueError("is damaged: its end is missing")
    image.info["bits"] = data[_PNG_BITS_AT] if data.startswith(_PNG_START) else 8
    return image


def image_size(file: IO[bytes]) -> tuple[int, int] | None:
    """Gives the width and height that an image file claims, or None where it is none to decode."""
    try:
        with _refusing():
            return _open(file).size
    except ValueError:
        return None


def describe_mode(image: Image.Image) -> str:
    """Names the mode of an image that `decode` gave, with what Pillow's name for it hides."""
    if image.info["bits"] > 8:
        return f"{image.mode} of {image.info['bits']} bits"
    # A PNG may have a colour that is transparent.
    return f"{image.mode} with transparency" if "transparency" in image.info else image.mode


def convert(image: Image.Image, mode: str) -> Image.Image:
    """Converts as Pillow does, which drops alpha; of 16 bits, keeps the upper 8."""
    if image.mode.startswith("I"):
        # Pillow would clip them.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert(mode)


def resize(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """Resizes to a square by Lanczos, without a crop: pixels (C, side, side)."""
    square = image.resize((side, side), Image.Resampling.LANCZOS)
    pixels = np.asarray(square, np.uint8).reshape(side, side, -1)
    return np.transpose(pixels, (2, 0, 1))


def picture(row: Tensor) -> Image.Image:
    """Gives a row (1 or 3, H, W), uint8, as an image."""
    pixels = row[0] if len(row) == 1 else row.permute(1, 2, 0)
    return Image.fromarray(pixels.numpy())


def _open(file: IO[bytes]) -> Image.Image:
    image = Image.open(file, formats=_FORMATS)
    if image.width * image.height > _MAX_PIXELS:
        raise Image.DecompressionBombError
    return image


@contextmanager
def _refusing() -> Iterator[None]:
    """Turns whatever Pillow makes of a bad file into a ValueError."""
    try:
        with warnings.catch_warnings():
            # Of metadata; and of many pixels, which `_open` refuses.
            warnings.simplefilter("ignore")
            yield
    except UnidentifiedImageError as error:
        raise ValueError("is no PNG or JPEG image") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"has more than {_MAX_PIXELS} pixels") from error
    except Exception as error:  # of many kinds, for files that are damaged
        raise ValueError(f"is damaged: {error}") from error
