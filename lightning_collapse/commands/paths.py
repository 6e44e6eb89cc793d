"""Paths on command lines and in configurations: `~` is the user's home, as no shell may see it."""

from pathlib import Path

from jsonargparse.typing import register_type

__all__ = ["check_file", "expand_home"]


def expand_home() -> None:
    """Has every option and key of type Path take `~` and `~user` for the home they name."""
    register_type(Path, str, _expanded, type_check=isinstance, fail_already_registered=False)


def check_file(option: str, path: Path | None) -> None:
    """Raises ValueError where an option names a path to which no file can be written."""
    if path is None:
        return
    if path.is_dir():
        raise ValueError(f"{option} = {path}: is a folder; name a file")
    folder = next(folder for folder in path.parents if folder.exists())
    if not folder.is_dir():
        raise ValueError(f"{option} = {path}: {folder} is a file; name another folder")


def _expanded(value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError as error:  # no such user
        raise ValueError(f"{value}: {error}") from error
