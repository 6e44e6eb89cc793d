"""Image files from anyone, as Pillow images: what they claim is checked before it is decoded.

EXIF's orientation is applied, as every viewer does; NVIDIA's tool does not.
"""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features
from torch import Tensor

__all__ = ["Look", "convert", "decode", "describe_mode", "look", "picture", "resize"]

_MAX_PIXELS = 2**26
# Decoded within a few times their pixels, by code that reads no other file and starts nothing.
_FORMATS = ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"]
if features.check("avif"):
    _FORMATS.append("AVIF")
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_GIF_END = b";"
_PNG_BITS_AT = 24
_ORIENTATION = 274
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# TIFF's tags: a reduced version of another image, a tile's sides, and what only DNG has.
_REDUCED, _TILE_SIDES, _DNG = 254, (322, 323), 50706
_RAW = "is a camera's raw file, of which Pillow sees the thumbnail; develop it, and save it as PNG"


@dataclass(frozen=True)
class Look:
    """What an image file claims to be.

    Attributes:
        mode: Pillow's name.
        size: width and height in pixels, turned as EXIF says.
    """

    mode: str
    size: tuple[int, int]


def decode(data: bytes) -> Image.Image:
    """Decodes an image file of a format that is safe to read.

    What `describe_mode` needs is in its `info`, and whether EXIF had it `turned`.

    Raises:
        ValueError: it is none, is not whole, has several frames or more than 67 million pixels.
    """
    if not data:
        raise ValueError("is empty")
    with _refusing():
        image = _open(io.BytesIO(data))
        bits, frames = _bits(image, data), _has_frames(image)
        # Pillow turns a TIFF as it loads it, and loads a PNG to look for EXIF.
        tiff = image.format == "TIFF"
        before = _turn(image) if tiff else None
        image.load()
        turn = before if tiff else _turn(image)
    if _has_no_end(image.format, data):
        raise ValueError("is damaged: its end is missing")
    if frames:
        raise ValueError("has more than one frame or page; save the one that is meant as PNG")
    turned = image if turn is None or tiff else image.transpose(turn)
    turned.info |= {"bits": bits, "turned": turn is not None}
    return turned


def look(file: IO[bytes]) -> Look | None:
    """Reads what an image file claims to be, or None where it is none to decode."""
    try:
        with _refusing():
            image = _open(file)
            # Of a PNG, what stands behind the pixels would cost as much as decoding.
            late = image.format == "PNG" and "exif" not in image.info
            turn = None if late or image.format == "TIFF" else _turn(image)
            size = image.size
    except ValueError:
        return None
    across = turn in (_TURNS[5], _TURNS[6], _TURNS[7], _TURNS[8])
    return Look(image.mode, size[::-1] if across else size)


def describe_mode(image: Image.Image) -> str:
    """Names the mode of an image that `decode` gave, with what Pillow's name for it hides."""
    if image.info["bits"] > 8:
        return f"{image.mode} of {image.info['bits']} bits"
    # A PNG may have a colour that is transparent.
    return f"{image.mode} with transparency" if "transparency" in image.info else image.mode


def convert(image: Image.Image, mode: str) -> Image.Image:
    """Converts as Pillow does, which drops alpha; of 16 bits, keeps the upper 8.

    Raises:
        ValueError: its numbers have no range that is known.
    """
    if image.info.get("bits", 8) > 16:
        raise ValueError(f"is of {image.info['bits']} bits, which nothing says how to scale")
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
    start = file.read(30)
    file.seek(0)
    if _webp_pixels(start) > _MAX_PIXELS:
        raise Image.DecompressionBombError  # before Pillow makes room for it
    image = Image.open(file, formats=_FORMATS)
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    if _DNG in tags or tags.get(_REDUCED, 0) & 1 or start[8:10] == b"CR":
        raise _RefusedError(_RAW)
    width, height = (tags.get(tag, 1) for tag in _TILE_SIDES)
    if max(image.width * image.height, width * height) > _MAX_PIXELS:
        raise Image.DecompressionBombError
    return image


def _webp_pixels(start: bytes) -> int:
    """The pixels that a WebP file's first 30 bytes claim; 0 of another file."""
    if not (start.startswith(b"RIFF") and start[8:12] == b"WEBP" and len(start) == 30):
        return 0
    if start[12:16] == b"VP8X":
        sides = [int.from_bytes(start[i : i + 3], "little") + 1 for i in (24, 27)]
    elif start[12:16] == b"VP8L":
        (packed,) = struct.unpack_from("<I", start, 21)
        sides = [(packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1]
    else:
        sides = [side & 0x3FFF for side in struct.unpack_from("<HH", start, 26)]
    return sides[0] * sides[1]


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # of many kinds; bad metadata leaves an image as it is
        return None


def _bits(image: Image.Image, data: bytes) -> int:
    """The bits of a number, of which Pillow's modes tell too few."""
    if data.startswith(_PNG_START):
        return data[_PNG_BITS_AT]
    if image.mode == "F" or (image.mode.startswith("I") and image.format == "TIFF"):
        return 16 if image.mode.startswith("I;16") else 32
    return 16 if image.mode.startswith("I") else 8


def _has_no_end(kind: str | None, data: bytes) -> bool:
    """Whether the end is missing, without which Pillow does in some formats."""
    if kind == "GIF":
        return not data.rstrip(b"\0").endswith(_GIF_END)
    return kind == "PNG" and _PNG_END not in data


def _has_frames(image: Image.Image) -> bool:
    if image.format in ("JPEG", "MPO"):
        return False  # an MPO's others are the same scene: a preview, or for the other eye
    return bool(getattr(image, "is_animated", False))


class _RefusedError(Exception):
    """What is wrong with a file that Pillow could open."""


@contextmanager
def _refusing() -> Iterator[None]:
    """Turns whatever Pillow makes of a bad file into a ValueError."""
    try:
        with warnings.catch_warnings():
            # Of metadata; and of many pixels, which `_open` refuses.
            warnings.simplefilter("ignore")
            yield
    except _RefusedError as error:
        raise ValueError(str(error)) from error
    except UnidentifiedImageError as error:
        raise ValueError("is no image that can be read") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"has more than {_MAX_PIXELS} pixels") from error
    except Exception as error:  # of many kinds, for files that are damaged
        raise ValueError(f"is damaged: {error}") from error
