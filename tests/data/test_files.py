import os
import stat

import pytest

from lightning_collapse.data.files import write_atomically


class Cut(BaseException):
    """Something that stops a write half-way; an interrupt is no Exception either."""


def half(file):
    file.write(b"ne")
    file.flush()
    raise Cut


@pytest.mark.parametrize("old", [None, b"", b"old, and longer than the new"])
def test_what_is_written_is_there_and_nothing_else(tmp_path, old):
    path = tmp_path / "a.json"
    if old is not None:
        path.write_bytes(old)
    write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path, old):
    path = tmp_path / "a.json"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(Cut):
        write_atomically(path, half)
    assert [p.name for p in tmp_path.iterdir()] == ([] if old is None else ["a.json"])
    assert old is None or path.read_bytes() == old


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, failing):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_is_whole_until_the_new_one_is(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def watch(file):
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"

    write_atomically(path, watch)
    assert path.read_bytes() == b"new"


def test_bytes_reach_the_disk_before_the_name_and_the_name_before_it_returns(
    tmp_path, monkeypatch
):
    order = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor):
        order.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def renamed(old, new):
        order.append("rename")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    write_atomically(tmp_path / "a.json", lambda file: file.write(b"new"))
    assert order == ["file", "rename", "folder"]


def test_a_missing_folder_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "a.json", lambda file: file.write(b"new"))
    assert not list(tmp_path.iterdir())
