"""Paths on command lines and in configurations: `~` is the user's home, as no shell may see it."""

from pathlib import Path

from jsonargparse.typing import register_type

__all__ = ["expand_home"]


def expand_home() -> None:
    """Has every option and key of type Path take `~` and `~user` for the home they name."""
    register_type(Path, str, _expanded, type_check=isinstance, fail_already_registered=False)


def _expanded(value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError as error:  # no such user
        raise ValueError(f"{value}: {error}") from error
