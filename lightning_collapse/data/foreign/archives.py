"""Folders and zip archives of files from anyone, read in place: nothing is unpacked to disk.

What a file may do to its reader is decided before it is opened: a name that leaves its folder, a
link, an archive that unpacks to far more than it is, two files in the same bytes.
"""

import os
import re
import stat
import struct
import zipfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

__all__ = ["Archive", "Folder", "Zip", "open_archive"]

MAX_FILE_BYTES = 2**28
# Deflate reaches 1,032; images, packed already, stay near 1.
_MAX_RATIO, _FREE_BYTES = 100, 2**26
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_LOCAL_HEADER = struct.Struct("<4s22xHH")


class Archive(ABC):
    """Files by name, read one at a time.

    Attributes:
        path: of the folder or the archive file.
        names: of all files that can be opened, sorted; relative, with forward slashes.
        faults: what is wrong with those that must not be opened, by name.
        images: names of those that the archive says are images.
        labels: class of every file by its name, where the archive itself tells; else None.
        classes: the names of those classes, if they have any.
    """

    path: Path
    names: Sequence[str]
    faults: Mapping[str, str] = {}
    images: Collection[str] = ()
    labels: Mapping[str, int] | None = None
    classes: Sequence[str] = ()

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Opens one of `names`."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Gives the bytes of one of `names`, as it claims."""

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        """Reads a whole file.

        Raises:
            ValueError: it has more than `limit` bytes, or is damaged.
            OSError: it cannot be read.
        """
        size = self.size(name)
        if size > limit:
            raise ValueError(f"is larger than {limit >> 20} MiB")
        with self.open(name) as file:
            try:
                return file.read(size)
            except Exception as error:  # of many kinds, for members that are damaged
                raise ValueError(f"is damaged: {error}") from error

    def close(self) -> None:  # noqa: B027 - a folder holds nothing open
        """Lets go of what the archive holds open."""


def open_archive(path: Path, follow_links: bool = False) -> Archive:
    """Opens a folder, a zip archive, or parquet files, in a folder or alone.

    With `follow_links`, a folder's links to what is in it are followed.

    Raises:
        OSError: there is no such folder or file, or it cannot be read.
        ValueError: it is a file, but no archive that is safe to read.
    """
    # It stands on this file.
    from lightning_collapse.data.foreign.parquet import Parquet, parquet_files

    if not path.exists():
        raise FileNotFoundError(f"{path}: no such folder or zip archive")
    folder = Folder(path, follow_links) if path.is_dir() else None
    if tables := parquet_files(path, folder):
        return Parquet(path, tables, folder)
    return folder or Zip(path)


class Folder(Archive):
    """The files of a folder and its subfolders.

    A link is a fault. Those that lead to something in the folder are followed on request, but
    not from one linked folder into another, so that the walk ends.
    """

    def __init__(self, path: Path, follow_links: bool = False) -> None:
        self.path = path
        names: list[str] = []
        self._root = Path(os.path.realpath(path)) if follow_links else None
        faults: dict[str, str] = {}
        self._find(path, "", names, faults)
        self.names, self.faults = sorted(names), faults

    def _find(self, folder: Path, prefix: str, names: list[str], faults: dict[str, str]) -> None:
        """Adds everything below a folder but its subfolders, under names that begin so."""
        for file, mode in _walk(folder):
            name, path, linked = f"{prefix}{file}", folder / file, stat.S_ISLNK(mode)
            if linked and (fault := self._link_fault(path, prefix)):
                faults[name] = fault
            elif linked and path.is_dir():
                self._find(path, f"{name}/", names, faults)
            elif linked or stat.S_ISREG(mode):
                names.append(name)
            else:
                faults[name] = "is not a regular file"

    def _link_fault(self, path: Path, prefix: str) -> str | None:
        """Says why a link must not be followed, if it must not."""
        if self._root is None:
            return "is a symbolic link"
        target = Path(os.path.realpath(path))
        if not target.is_relative_to(self._root):
            return "is a symbolic link that leads out of the folder"
        if target.is_file():
            return None
        if not target.is_dir():
            return "is a symbolic link to nothing that can be read"
        if Path(os.path.realpath(path.parent)).is_relative_to(target):
            return "is a symbolic link to a folder that it lies in"
        return "is a symbolic link to a folder in a linked folder" if prefix else None

    def open(self, name: str) -> IO[bytes]:
        return open(self.path / name, "rb")

    def size(self, name: str) -> int:
        return (self.path / name).stat().st_size


def _walk(path: Path) -> Iterator[tuple[str, int]]:
    """Gives the name and the mode of everything in a folder but its subfolders."""

    def fail(error: OSError) -> None:
        raise error

    for folder, subfolders, files in os.walk(path, onerror=fail):
        for file in files + subfolders:
            mode = os.lstat(os.path.join(folder, file)).st_mode
            if not stat.S_ISDIR(mode):
                yield (Path(folder) / file).relative_to(path).as_posix(), mode


class Zip(Archive):
    """The members of a zip archive, stored or deflated. A hostile archive is refused whole.

    A name is taken without the `./` that some tools put before it or into it.
    """

    def __init__(self, path: Path) -> None:
        """Opens an archive, and reads its directory.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no zip archive, or one that is not safe to read.
        """
        self.path = path
        self._file = open(path, "rb")  # noqa: SIM115 - held open until `close`
        try:
            self._zip = _opened(self._file, path)
            members = self._zip.infolist()
            self._check(members)
        except BaseException:
            self._file.close()
            raise
        self._members = {_plain(m.filename): m for m in members if not m.is_dir()}
        self.names = sorted(self._members)

    def _check(self, members: Sequence[zipfile.ZipInfo]) -> None:
        for member in members:
            if wrong := _fault(member):
                raise ValueError(f"{self.path}: {member.orig_filename!r} {wrong}")
        for name, times in Counter(_plain(m.filename) for m in members).most_common(1):
            if times > 1:
                raise ValueError(f"{self.path}: {name!r} is there {times} times")
        packed = os.fstat(self._file.fileno()).st_size
        if _is_bomb(sum(member.file_size for member in members), packed):
            raise ValueError(f"{self.path}: unpacks to more than {_MAX_RATIO} times its size")
        self._check_overlap(members)

    def _check_overlap(self, members: Sequence[zipfile.ZipInfo]) -> None:
        """Refuses members that share bytes: a small archive could hold them without end."""
        end = 0
        for member in sorted(members, key=lambda member: member.header_offset):
            start = member.header_offset
            header = os.pread(self._file.fileno(), _LOCAL_HEADER.size, max(start, 0))
            whole = len(header) == _LOCAL_HEADER.size and header.startswith(b"PK\3\4")
            if not whole or start < end:
                raise ValueError(
                    f"{self.path}: {member.orig_filename!r} overlaps another file, "
                    "or is not where the archive's directory has it"
                )
            _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
            end = start + _LOCAL_HEADER.size + name_bytes + extra_bytes + member.compress_size
        if end > self._zip.start_dir:
            raise ValueError(f"{self.path}: its last file overlaps the archive's directory")

    def open(self, name: str) -> IO[bytes]:
        try:
            return self._zip.open(self._members[name])
        except Exception as error:  # of many kinds, for members that are damaged
            raise ValueError(f"is damaged: {error}") from error

    def size(self, name: str) -> int:
        return self._members[name].file_size

    def close(self) -> None:
        self._zip.close()
        self._file.close()


def _opened(file: IO[bytes], path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except Exception as error:  # of many kinds, for files that are something else
        raise ValueError(
            f"{path}: is no zip archive that can be read ({error}); unpack other archives into a "
            "folder"
        ) from error


def _fault(member: zipfile.ZipInfo) -> str | None:
    """Says what is wrong with a member of a zip archive, if anything is."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    stored = member.compress_type == zipfile.ZIP_STORED
    if _leaves(member.orig_filename):
        return "is a name that leaves the archive"
    if "\\" in member.orig_filename:
        return "has backslashes for folders, as some Windows tools write; pack it again with /"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a symbolic link or a device"
    if not stored and member.compress_type != zipfile.ZIP_DEFLATED:
        return "is neither stored nor deflated; pack the archive again"
    if stored and member.file_size != member.compress_size:
        return "is stored, but with two sizes"
    if _is_bomb(member.file_size, member.compress_size):
        return f"unpacks to more than {_MAX_RATIO} times its size"
    return None


def _plain(name: str) -> str:
    """Leaves out the folders `.` of a name, which lead nowhere."""
    *folders, last = name.split("/")
    return "/".join([folder for folder in folders if folder != "."] + [last])


def _leaves(name: str) -> bool:
    """Whether a name could mean a file outside the folder it is unpacked to, on any system."""
    plain = _plain(name.replace("\\", "/"))
    if not plain and name.endswith("/"):
        return False  # the folder itself
    odd = "\0" in name or re.match("[A-Za-z]:", plain)
    return bool(odd) or not {"", ".", ".."}.isdisjoint(plain.removesuffix("/").split("/"))


def _is_bomb(unpacked: int, packed: int) -> bool:
    return unpacked > max(_FREE_BYTES, _MAX_RATIO * packed)
