"""Which files of an archive are images: by what is in them, not by their suffix.

What systems and programs leave in folders, and what is hidden, is passed over in silence; any
other file is an image, wrong, or ignored and counted by its kind.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from tqdm import tqdm

from lightning_collapse.data.files import RECIPE_FILE
from lightning_collapse.data.foreign.archives import MAX_FILE_BYTES, Archive
from lightning_collapse.data.foreign.decoding import Look, look
from lightning_collapse.data.foreign.hidden import is_hidden, shown
from lightning_collapse.data.foreign.labels import LABELS_FILE

__all__ = ["Listing", "list_images"]

_READ = {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".avif", ".bmp"),
    *(".gif", ".tif", ".tiff", ".pbm", ".pgm", ".ppm", ".pnm"),
}
# Images as well, but not for us: a set that has some is not whole without them.
_FOREIGN = {
    *(".heic", ".heif", ".hif", ".jp2", ".j2k", ".jpx", ".jxl", ".jxr", ".tga", ".ico", ".icns"),
    *(".psd", ".xcf", ".svg", ".exr", ".hdr", ".dds", ".qoi", ".pcx", ".sgi", ".pfm", ".pam"),
    *(".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".raf", ".dcm", ".fits", ".eps"),
}
# Where a file of these begins says what it is, whatever its name.
_STARTS = {
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"8BPS": "a Photoshop file",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
_BRANDS = {b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis"}
_OURS = {"PNG", "JPEG", "GIF", "TIFF", "WebP", "AVIF"}
_KINDS_TOLD = 8


@dataclass(frozen=True)
class Listing:
    """What the files of an archive are.

    Attributes:
        images: names of what has to be decoded, sorted: all that is an image by its content, and
            what is called one.
        looks: what those claim to be that can be read so far.
        bad: what is wrong with files that must not, or cannot, be decoded, by name.
        ignored: how many files of each kind are neither.
        hidden: how many were passed over.
    """

    images: Sequence[str]
    looks: Mapping[str, Look]
    bad: Mapping[str, str]
    ignored: Mapping[str, int]
    hidden: int

    def told_ignored(self) -> str:
        """The ignored files by kind: `3 .txt, 1 .csv`; empty for none."""
        most = sorted(self.ignored.items(), key=lambda kind: (-kind[1], kind[0]))
        told = [f"{n} {kind}" for kind, n in most[:_KINDS_TOLD]]
        if rest := sum(n for _, n in most[_KINDS_TOLD:]):
            told.append(f"{rest} of other kinds")
        return ", ".join(told)


def list_images(archive: Archive) -> Listing:
    """Looks at every file of an archive, and reads no pixels."""
    images, looks, ignored, hidden = [], {}, Counter[str](), 0
    bad = {name: what for name, what in archive.faults.items() if not is_hidden(name)}
    bar = tqdm(archive.names, "looking at files", leave=False, disable=None, dynamic_ncols=True)
    for name in bar:
        if is_hidden(name):
            hidden += 1
        elif PurePosixPath(name).name not in (LABELS_FILE, RECIPE_FILE):
            start, seen = _looked_at(archive, name)
            kind, suffix = _format(start), PurePosixPath(name).suffix.lower()
            if seen is not None:
                looks[name] = seen
            called = kind is None and (suffix in _READ or name in archive.images)
            if seen is not None or kind in _OURS or called:
                images.append(name)
            elif kind is not None or suffix in _FOREIGN:
                what = kind or suffix[1:].upper()
                bad[name] = f"is {what}, which cannot be read; save it as PNG"
            else:
                ignored[shown(suffix) or "without a suffix"] += 1
    return Listing(images, looks, bad, ignored, hidden)


def _looked_at(archive: Archive, name: str) -> tuple[bytes, Look | None]:
    """Gives the first bytes of a file, and what it claims to be if it is an image to decode."""
    try:
        with archive.open(name) as file:
            start = file.read(32)
            # Some formats are read whole for a look.
            if not start or archive.size(name) > MAX_FILE_BYTES:
                return start, None
            file.seek(0)
            return start, look(file)
    except Exception:  # of many kinds, for members that are damaged: told when it is read
        return b"", None


def _format(start: bytes) -> str | None:
    if start[4:8] == b"ftyp" and start[8:12] in _BRANDS:
        return "AVIF" if start[8:12].startswith(b"avi") else "HEIC"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WebP"
    return next((kind for head, kind in _STARTS.items() if start.startswith(head)), None)
