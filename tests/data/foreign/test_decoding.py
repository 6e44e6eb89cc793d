"""What an image file claims is checked before it is decoded; what is not whole is refused."""

import io
import random
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hostile import chunk, encoded, picture, raw_png
from PIL import Image, ImageOps, PngImagePlugin

from lightning_collapse.data.foreign.decoding import (
    convert,
    decode,
    describe_mode,
    look,
    resize,
)

KINDS = ["PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM"]


def refused(data):
    with pytest.raises(ValueError) as caught:
        decode(data)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_decoded_as_pillow_does(kind):
    data = encoded(picture(9, 7), kind)
    with Image.open(io.BytesIO(data)) as other:
        assert np.array_equal(np.asarray(decode(data)), np.asarray(other))
    assert look(io.BytesIO(data)).size == (9, 7)


@pytest.mark.parametrize(
    "data", [b"GIF89b" + bytes(50), b"<!DOCTYPE html><html></html>", b"x", b"\x89PNG", b"\xff\xd8"]
)
def test_what_is_no_image_is_refused(data):
    assert refused(data) == "is no image that can be read"
    assert look(io.BytesIO(data)) is None


def test_an_empty_file_is_refused():
    assert refused(b"") == "is empty"


@pytest.mark.parametrize(
    "kind", ["ICO", "PDF", "TGA", "PCX", "DDS", "EPS", "ICNS", "JPEG2000", "SGI"]
)
def test_other_formats_are_not_opened(kind):
    assert refused(encoded(picture(16, 16), kind)) == "is no image that can be read"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [8, 100])
def test_truncated_files_are_refused_wherever_they_end(kind, size):
    data = encoded(picture(size, size), kind)
    for left in {1, 8, 30, len(data) // 2, *range(len(data) - 30, len(data))}:
        refused(data[:left])
    decode(data)


def test_pixel_bombs_are_refused_by_their_header():
    black = zlib.compress(bytes(2**20))
    for side in (8193, 20_000, 2**31 - 1):
        bomb = raw_png(side, side, extra=chunk(b"IDAT", black))
        tracemalloc.start()
        assert refused(bomb) == "has more than 67108864 pixels"
        assert tracemalloc.get_traced_memory()[1] < 2**22
        tracemalloc.stop()
        assert look(io.BytesIO(bomb)) is None
    assert look(io.BytesIO(raw_png(8192, 8192))).size == (8192, 8192)


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
def test_text_bombs_are_refused(name):
    packed = zlib.compress(bytes(2**25), 9)
    start = b"key\0\1\0\0\0" if name == b"iTXt" else b"key\0\0"
    data = raw_png(1, 1, pixels=b"\0abc", extra=chunk(name, start + packed))
    started = time.monotonic()
    try:  # some kinds are left out instead, which is as good
        decode(data)
    except ValueError as error:
        assert "\n" not in str(error)
    assert time.monotonic() - started < 5


def test_many_texts_are_refused():
    info = PngImagePlugin.PngInfo()
    for i in range(70):
        info.add_text(f"k{i}", "x" * 2**20, zip=True)
    assert refused(encoded(picture(), pnginfo=info)).startswith("is damaged: Too much memory")


def pixels_of(mode):
    return picture(6, 6).convert(mode)


def transparent(mode, colour):
    data = encoded(pixels_of(mode), transparency=colour)
    return decode(data)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1"])
def test_modes_go_by_pillows_names(mode):
    assert describe_mode(decode(encoded(pixels_of(mode)))) == mode


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_so_do_those_of_jpegs(mode):
    assert describe_mode(decode(encoded(pixels_of(mode), "JPEG"))) == mode


def test_what_the_name_hides_is_told():
    deep = raw_png(2, 1, bits=16, pixels=b"\0" + bytes(range(12)))
    assert decode(deep).mode == "RGB"
    assert describe_mode(decode(deep)) == "RGB of 16 bits"
    gray = Image.fromarray(np.arange(4, dtype=np.uint16).reshape(2, 2))
    assert describe_mode(decode(encoded(gray))) == "I;16 of 16 bits"
    assert describe_mode(transparent("RGB", (1, 2, 3))) == "RGB with transparency"
    assert describe_mode(transparent("L", 3)) == "L with transparency"


def test_16_bits_become_their_upper_8():
    values = np.array([[0, 255, 256], [4660, 32768, 65535]], np.uint16)
    gray = decode(encoded(Image.fromarray(values)))
    assert np.array_equal(np.asarray(convert(gray, "L")), values >> 8)
    assert np.array_equal(np.asarray(convert(gray, "RGB"))[..., 1], values >> 8)
    colour = decode(raw_png(1, 1, bits=16, pixels=b"\0" + bytes([1, 99, 2, 99, 3, 99])))
    assert np.asarray(convert(colour, "RGB")).tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
@pytest.mark.parametrize("to", ["RGB", "L"])
def test_modes_are_converted_as_pillow_does(mode, to):
    image = pixels_of(mode)
    converted = convert(image, to)
    assert converted.mode == to
    assert np.array_equal(np.asarray(converted), np.asarray(image.convert(to)))


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_squares_are_pillows_lanczos(mode, channels):
    image = picture(31, 17).convert(mode)
    square = np.asarray(image.resize((12, 12), Image.Resampling.LANCZOS)).reshape(12, 12, -1)
    pixels = resize(image, 12)
    assert pixels.shape == (channels, 12, 12) and pixels.dtype == np.uint8
    assert np.array_equal(pixels.transpose(1, 2, 0), square)


def test_a_square_of_the_size_asked_for_stays_as_it_is():
    assert np.array_equal(resize(picture(), 8).transpose(1, 2, 0), np.asarray(picture()))


def damage(kind, seed, n):
    """Decodes n damaged copies of an image; gives how many were refused."""
    dice, whole, refusals = random.Random(seed), encoded(picture(16, 16), kind), 0
    for _ in range(n):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(data))
            data[at : at + dice.choice((0, 1, 9))] = dice.randbytes(dice.choice((1, 1, 9)))
        try:
            image = decode(bytes(data))
            describe_mode(image)
            assert resize(convert(image, "RGB"), 8).shape == (3, 8, 8)
        except ValueError as error:
            assert str(error).startswith(("is ", "has ")) and "\n" not in str(error)
            refusals += 1
    return refusals


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_decoded_or_refused(kind):
    assert damage(kind, 0, 300) > 15


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(1, 5))
def test_thousands_of_damaged_files_are_decoded_or_refused(kind, seed):
    assert damage(kind, seed, 5000) > 250


# EXIF's orientation, by what has to be done to see the image upright.
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}}


def turned(image, orientation, kind, **options):
    exif = Image.Exif()
    exif[274] = orientation
    return encoded(image, kind, exif=exif, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", [*LOSSLESS, "JPEG", "AVIF"])
def test_images_are_turned_as_exif_says(kind, orientation):
    image = picture(9, 5)
    data = turned(image, orientation, kind, **LOSSLESS.get(kind, {}))
    found = decode(data)
    with Image.open(io.BytesIO(data)) as other:
        upright = ImageOps.exif_transpose(other)
    assert np.array_equal(np.asarray(found), np.asarray(upright))
    assert found.size == (look(io.BytesIO(data)).size if kind != "PNG" else found.size)
    assert found.size == ((5, 9) if orientation > 4 else (9, 5))
    assert found.info["turned"] == (orientation > 1)
    if kind in LOSSLESS and orientation == 6:  # the camera lay on its side, its top to the right
        assert np.array_equal(np.asarray(found), np.rot90(np.asarray(image), -1))


def test_bad_exif_leaves_an_image_as_it_is():
    for exif in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"x" * 99):
        data = encoded(picture(9, 5), "JPEG", exif=exif)
        assert decode(data).size == (9, 5) and look(io.BytesIO(data)).size == (9, 5)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "AVIF"])
def test_several_frames_are_refused(kind):
    others = [picture(8, 8, 1), picture(8, 8, 2)]
    data = encoded(picture(8, 8), kind, save_all=True, append_images=others)
    assert refused(data).startswith("has more than one frame or page")


def test_a_phones_second_picture_is_left_out():
    """Of MPO, a JPEG with others of the same scene behind it, the first is the image."""
    data = encoded(picture(8, 8), "MPO", save_all=True, append_images=[picture(8, 8, 1)])
    assert decode(data).size == (8, 8)


def test_headers_that_claim_much_are_refused_before_there_is_room_for_it():
    riff = b"RIFF" + bytes(4) + b"WEBP"
    claims = {
        "VP8X": b"VP8X\x0a\0\0\0" + bytes(4) + b"\xff\x3f\0" * 2,
        "VP8L": b"VP8L\x0a\0\0\0\x2f" + (0x3FFF | 0x3FFF << 14).to_bytes(4, "little"),
        "VP8 ": b"VP8 \x0a\0\0\0" + bytes(3) + b"\x9d\x01\x2a\xff\x3f\xff\x3f",
    }
    for claim in claims.values():
        assert refused(riff + claim + bytes(99)) == "has more than 67108864 pixels"
    tiled = encoded(Image.new("RGB", (8, 8)), "TIFF", tiffinfo={65000: 2**15, 65001: 2**15})
    tiled = tiled.replace(b"\xe8\xfd", b"\x42\x01").replace(b"\xe9\xfd", b"\x43\x01")
    assert refused(tiled) == "has more than 67108864 pixels"
    wide = b"P6 20000 20000 255\n" + bytes(99)
    assert refused(wide) == "has more than 67108864 pixels"


def test_numbers_without_a_known_range_are_not_converted():
    for array in (np.zeros((4, 4), np.float32), np.zeros((4, 4), np.int32)):
        image = decode(encoded(Image.fromarray(array), "TIFF"))
        assert "of 32 bits" in describe_mode(image)
        with pytest.raises(ValueError, match="is of 32 bits"):
            convert(image, "L")
    deep = decode(b"P5 2 1 65535\n\x12\x34\xff\xff")
    assert "of 16 bits" in describe_mode(deep)
    assert np.asarray(convert(deep, "L")).tolist() == [[0x12, 0xFF]]
