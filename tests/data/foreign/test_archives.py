"""Folders and zips are read in place; what could harm a reader is refused before it is opened."""

import os
import random
import stat
import struct
import tracemalloc
import zipfile

import pytest
from hostile import encoded, member, picture, raw_zip
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_collapse.data.foreign.archives import Folder, Zip, open_archive
from lightning_collapse.data.sources.images import ImageZip


def refused(path, data):
    """The one line that an archive of these bytes is refused with."""
    path.write_bytes(data)
    with pytest.raises(ValueError) as caught:
        Zip(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line.removeprefix(f"{path}: ")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_those_that_python_packed(tmp_path, method):
    files = {"b/c.png": os.urandom(500), "a.png": b"", "z.txt": b"z" * 100_000}
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.mkdir("b")
        for name, data in files.items():
            archive.writestr(name, data)
    archive = open_archive(tmp_path / "a.zip")
    assert archive.names == sorted(files)
    assert {name: archive.read(name) for name in archive.names} == files
    archive.close()


def test_our_own_archives_are_sound(tmp_path):
    """Else what follows would be refused for another reason."""
    members = [member("a.png", b"data" * 9), member("b/c.png", b"0" * 99, method=8)]
    (tmp_path / "a.zip").write_bytes(raw_zip(*members))
    archive = Zip(tmp_path / "a.zip")
    assert [archive.read(name) for name in archive.names] == [b"data" * 9, b"0" * 99]
    with zipfile.ZipFile(tmp_path / "a.zip") as other:
        assert other.testzip() is None
    archive.close()


@pytest.mark.parametrize(
    "name",
    [
        "../a.png",
        "b/../../a.png",
        "/etc/a.png",
        "//host/a.png",
        "b//a.png",
        ".//a.png",
        "./../a.png",
        ".",
        "b/.",
        "..",
        "..\\a.png",
        "\\a.png",
        "C:/a.png",
        "c:a.png",
        "a.png\0.txt",
        "",
    ],
)
def test_names_that_leave_the_archive_are_refused(tmp_path, name):
    line = refused(tmp_path / "a.zip", raw_zip(member("fine.png"), member(name)))
    assert line == f"{name!r} is a name that leaves the archive"


def test_a_dot_for_the_folder_itself_is_left_out_of_names(tmp_path):
    """As `tar` and `zip -r x.zip ./` write them."""
    data = raw_zip(member("./"), member("./a/./b.png", b"1"), member("././c.png", b"2"))
    (tmp_path / "a.zip").write_bytes(data)
    archive = open_archive(tmp_path / "a.zip")
    assert archive.names == ["a/b.png", "c.png"]
    assert [archive.read(name) for name in archive.names] == [b"1", b"2"]
    archive.close()
    line = refused(tmp_path / "b.zip", raw_zip(member("a.png"), member("./a.png")))
    assert line == "'a.png' is there 2 times"


def test_backslashes_are_told_for_what_they_are(tmp_path):
    line = refused(tmp_path / "a.zip", raw_zip(member("b\\a.png")))
    assert "has backslashes for folders, as some Windows tools write" in line


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path, kind):
    data = raw_zip(member("a.png", b"/etc/passwd", attributes=(kind | 0o777) << 16))
    assert refused(tmp_path / "a.zip", data) == "'a.png' is a symbolic link or a device"


@pytest.mark.parametrize("flags", [0x1, 0x41, 0x2000])
def test_encrypted_members_are_refused(tmp_path, flags):
    line = refused(tmp_path / "a.zip", raw_zip(member("a.png", flags=flags)))
    assert line == "'a.png' is encrypted"


@pytest.mark.parametrize("method", [9, 12, 14, 93, 95, 99])
def test_other_methods_are_refused(tmp_path, method):
    line = refused(tmp_path / "a.zip", raw_zip(member("a.png", method=method)))
    assert line == "'a.png' is neither stored nor deflated; pack the archive again"


def test_bombs_are_refused(tmp_path):
    one = member("a.png", b"\0" * 2**20, method=8)
    lying = raw_zip(one | {"size": 2**30})
    assert refused(tmp_path / "a.zip", lying) == "'a.png' unpacks to more than 100 times its size"
    many = raw_zip(*(one | {"name": b"%d" % i, "local_name": b"%d" % i} for i in range(65)))
    assert refused(tmp_path / "a.zip", many) == "unpacks to more than 100 times its size"
    stored = raw_zip(member("a.png", b"x", size=2**31))
    assert refused(tmp_path / "a.zip", stored) == "'a.png' is stored, but with two sizes"


def test_a_member_gives_no_more_than_its_header_says(tmp_path):
    """However much there is behind it."""
    bomb = member("a.png", b"\0" * 2**26, method=8, size=1000)
    (tmp_path / "a.zip").write_bytes(raw_zip(bomb))
    archive = Zip(tmp_path / "a.zip")
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"^is damaged: Bad CRC-32"):
        archive.read("a.png")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    archive.close()


def test_a_file_larger_than_asked_for_is_not_read(tmp_path):
    (tmp_path / "a.zip").write_bytes(raw_zip(member("a", b"\0" * 2**22, method=8)))
    (tmp_path / "a").write_bytes(b"\0" * 2**22)
    for archive in (Zip(tmp_path / "a.zip"), Folder(tmp_path)):
        with pytest.raises(ValueError, match="^is larger than 2 MiB$"):
            archive.read("a", 2**21)
        archive.close()


def test_members_in_the_same_bytes_are_refused(tmp_path):
    data = b"p" * 500
    twice = raw_zip(member("a.png", data), member("b.png", data, offset=0))
    assert "overlaps another file" in refused(tmp_path / "a.zip", twice)
    nested = raw_zip(member("a.png", raw_zip(member("b.png"))), member("b.png", offset=35))
    assert "overlaps another file" in refused(tmp_path / "a.zip", nested)
    off = raw_zip(member("a.png", data), member("b.png", data, offset=7))
    assert "is not where" in refused(tmp_path / "a.zip", off)
    long = raw_zip(member("a.png", data, size=5000, packed_size=5000))
    assert refused(tmp_path / "a.zip", long).startswith("its last file overlaps")


def test_two_members_of_one_name_are_refused(tmp_path):
    data = raw_zip(member("a.png", b"1"), member("b.png"), member("a.png", b"2"))
    assert refused(tmp_path / "a.zip", data) == "'a.png' is there 2 times"


def test_a_member_of_another_name_behind_its_name_is_not_read(tmp_path):
    (tmp_path / "a.zip").write_bytes(raw_zip(member("a.png", local_name=b"b.png")))
    archive = Zip(tmp_path / "a.zip")
    with pytest.raises(ValueError, match="^is damaged: File name in directory"):
        archive.read("a.png")
    archive.close()


@pytest.mark.parametrize("data", [b"", b"PK\5\6", b"<html>", b"PK\3\4" + b"\0" * 60])
def test_what_is_no_zip_is_refused(tmp_path, data):
    assert refused(tmp_path / "a.zip", data).startswith("is no zip archive that can be read")


def test_a_directory_that_lies_about_its_size_is_refused(tmp_path):
    whole = raw_zip(member("a.png"))
    for at, value in ((12, 2**31), (16, 2**31), (16, 0)):
        end = len(whole) - 22 + at
        data = whole[:end] + struct.pack("<I", value) + whole[end + 4 :]
        assert refused(tmp_path / "a.zip", data)


# Folders


def test_a_folders_files_are_found_and_links_are_not_followed(tmp_path):
    outside, root = tmp_path / "outside", tmp_path / "set"
    (root / "b").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.png").write_bytes(b"secret")
    for name in ("z.png", "b/a.png", "b/notes.txt"):
        (root / name).write_bytes(name.encode())
    (root / "file.png").symlink_to(outside / "secret.png")
    (root / "inner.png").symlink_to(root / "z.png")
    (root / "b" / "folder").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "broken.png").symlink_to(root / "none")
    os.mkfifo(root / "pipe.png")
    folder = open_archive(root)
    assert folder.names == ["b/a.png", "b/notes.txt", "z.png"]
    link = "is a symbolic link"
    assert folder.faults == {
        "file.png": link,
        "inner.png": link,
        "b/folder": link,
        "loop": link,
        "broken.png": link,
        "pipe.png": "is not a regular file",
    }
    assert folder.read("b/a.png") == b"b/a.png"


def test_links_in_a_folder_are_followed_when_asked(tmp_path):
    outside, root = tmp_path / "outside", tmp_path / "set"
    (root / "all" / "deep").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.png").write_bytes(b"secret")
    (root / "all" / "a.png").write_bytes(b"a")
    (root / "all" / "deep" / "b.png").write_bytes(b"b")
    (root / "one.png").symlink_to("all/a.png")
    (root / "two.png").symlink_to("one.png")
    (root / "class").symlink_to(root / "all" / "deep")
    for name, target in {
        "out.png": outside / "secret.png",
        "outdir": outside,
        "up": root,
        "all/up": root / "all",
        "none.png": root / "none",
        "circle": "circle",
    }.items():
        (root / name).symlink_to(target)
    folder = open_archive(root, follow_links=True)
    names = ["all/a.png", "all/deep/b.png", "class/b.png", "one.png", "two.png"]
    assert folder.names == names
    assert [folder.read(name) for name in names] == [b"a", b"b", b"b", b"a", b"a"]
    assert folder.faults == {
        "out.png": "is a symbolic link that leads out of the folder",
        "outdir": "is a symbolic link that leads out of the folder",
        "up": "is a symbolic link to a folder that it lies in",
        "all/up": "is a symbolic link to a folder that it lies in",
        "none.png": "is a symbolic link to nothing that can be read",
        "circle": "is a symbolic link to nothing that can be read",
    }


def test_linked_folders_that_multiply_are_not_walked(tmp_path):
    for i in range(30):
        (tmp_path / f"{i}").mkdir()
        for side in "lr":
            (tmp_path / f"{i}" / side).symlink_to(tmp_path / f"{i + 1}")
    (tmp_path / "30").mkdir()
    (tmp_path / "30" / "a.png").write_bytes(b"a")
    folder = open_archive(tmp_path, follow_links=True)
    assert len(folder.names) == 3 and len(folder.faults) < 200


def test_a_folder_that_is_a_link_itself_is_what_the_user_named(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert open_archive(tmp_path / "link").names == ["a.png"]


def test_a_subfolder_that_cannot_be_listed_is_not_passed_over(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    scandir = os.scandir

    def fail(path):
        if str(path).endswith("a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(PermissionError):
        Folder(tmp_path)


# Whatever the bytes


def mutant(whole, dice):
    """A few bytes changed, cut out, doubled or appended."""
    data = bytearray(whole)
    for _ in range(dice.randint(1, 4)):
        at, n = dice.randrange(len(data)), dice.randint(1, 40)
        match dice.randrange(5):
            case 0:
                data[at] ^= 1 << dice.randrange(8)
            case 1:
                data[at : at + n] = bytes(dice.choice((0, 255)) for _ in data[at : at + n])
            case 2 if len(data) > n:
                del data[at : at + n]
            case 3:
                data[at:at] = data[at : at + n]
            case _:
                data[at : at + 4] = struct.pack("<I", dice.getrandbits(32))
    return bytes(data)


def a_zip(method):
    files = {f"{i}/a.png": encoded(picture(6, 6, i)) for i in range(3)}
    files["dataset.json"] = b'{"labels": [["0/a.png", 1], ["1/a.png", 0], ["2/a.png", 3]]}'
    return raw_zip(*(member(name, data, method=method) for name, data in files.items()))


def read_mutants(path, seed, n):
    """Reads mutants of a sound archive; gives how many were refused and how many read."""
    dice, read = random.Random(seed), 0
    whole = a_zip(dice.choice((0, 8)))
    for _ in range(n):
        path.write_bytes(mutant(whole, dice))
        try:
            rows, labels = ImageZip(path).read(0)
        except (ValueError, OSError) as error:
            assert "\n" not in str(error)
            continue
        assert rows.shape[1:] == (3, 6, 6) and labels is None or len(labels) == len(rows)
        read += 1
    return n - read, read


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_mutant_is_read_or_refused_in_one_line(tmp_path_factory, seed):
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    refusals, _ = read_mutants(path, seed, 25)
    assert refusals > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_thousands_of_mutants_are_read_or_refused_in_one_line(tmp_path, seed):
    refusals, _ = read_mutants(tmp_path / "a.zip", seed, 1000)
    assert refusals > 300


@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_no_zip(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.zip: is no zip archive"):
        Zip(path)
