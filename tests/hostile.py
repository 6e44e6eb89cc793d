"""Files that do harm to a reader who trusts them, made byte by byte."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def picture(width=8, height=8, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write(folder, files):
    """Makes a folder of files, bytes by name."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def chunk(name, data):
    body = name + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def raw_png(width, height, bits=8, colour=2, pixels=b"", extra=b"", end=True):
    """A PNG whose header says anything; colour 0 is gray, 2 RGB, 6 RGBA."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(pixels))
    return b"\x89PNG\r\n\x1a\n" + body + (chunk(b"IEND", b"") if end else b"")


def member(name, data=b"x", **changed):
    """A member of a zip archive as its two headers have it; `changed` makes them lie."""
    name = name.encode() if isinstance(name, str) else name
    fields = {"name": name, "local_name": name, "flags": 0, "method": 0, "attributes": 0}
    packed = data
    if changed.get("method") == 8:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = deflate.compress(data) + deflate.flush()
    fields |= {"crc": zlib.crc32(data), "packed": packed, "size": len(data)}
    fields |= {"packed_size": len(packed), "offset": None}
    return fields | changed


def raw_zip(*members):
    """A zip archive of members as `member` describes them."""
    body, directory = b"", b""
    for m in members:
        offset = len(body) if m["offset"] is None else m["offset"]
        sizes = struct.pack("<III", m["crc"], m["packed_size"], m["size"])
        start = struct.pack("<HHHHH", 20, m["flags"], m["method"], 0, 33)
        n = len(m["local_name"])
        if m["offset"] is None:
            body += b"PK\3\4" + start + sizes + struct.pack("<HH", n, 0)
            body += m["local_name"] + m["packed"]
        directory += b"PK\1\2" + struct.pack("<H", 3 << 8 | 20) + start + sizes
        directory += struct.pack("<HHHHHII", len(m["name"]), 0, 0, 0, 0, m["attributes"], offset)
        directory += m["name"]
    n = len(members)
    return (
        body
        + directory
        + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, n, n, len(directory), len(body), 0)
    )
