"""The files that `fit`'s command line names: configurations and checkpoints."""

import os
from collections.abc import Sequence
from pathlib import Path

from lightning_collapse.commands.hints import near
from lightning_collapse.data.foreign.plain_yaml import load_yaml
from lightning_collapse.runs.layout import Run

__all__ = ["check_configs", "checkpoint_at"]


def check_configs(words: Sequence[str]) -> None:
    """Refuses configurations that are not there, with those that are near, or no plain table.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no configuration.
    """
    for name in _named("--config", words) + _named("-c", words):
        _check_config(name)


def _check_config(name: str) -> None:
    path = Path(os.path.expanduser(name))
    if (kept := Run(path).config.path).is_file():
        raise FileNotFoundError(f"config = {name}: is a folder; name {kept}")
    # The kernel's files, such as that of bash's <(…), are none by `is_file`.
    if not path.exists() or path.is_dir():
        what = "is a folder" if path.is_dir() else "no such file"
        raise FileNotFoundError(f"config = {name}: {what}{_nearest(path)}")
    if path.is_file():
        text = path.read_bytes().decode(errors="replace")
        if not isinstance(load_yaml(text, f"config = {name}"), dict):
            raise ValueError(f"config = {name}: must be a table of options")


def checkpoint_at(named: str | Path, run: Path | None) -> Path:
    """Finds the checkpoint that `--ckpt_path` names: a file, or `last` for the run's last one.

    Raises:
        FileNotFoundError: there is no such file.
    """
    path = Path(named)
    if path.is_file():
        return path
    if str(named) in ("last", "best", "hpc", "registry"):
        if str(named) != "last":
            raise FileNotFoundError(f"ckpt_path = {named}: must be a file, or last")
        if run is not None and not Run(run).last.is_file():
            raise FileNotFoundError(
                f"ckpt_path = last: the run in {run} has no checkpoint; leave it out to start one"
            )
        return Path(named) if run is None else Run(run).last
    if not path.is_dir():
        raise FileNotFoundError(f"ckpt_path = {path}: no such file")
    found = [*sorted(path.glob("*.ckpt")), *sorted(Run(path).checkpoints.glob("*.ckpt"))]
    last = [file for file in found if file.name == Run(path).last.name] or found[-1:]
    advice = f"name a file in it, such as {last[0]}" if last else "name a checkpoint"
    own = f"; or go on with that run: --run {path}" if Run(path).last.is_file() else ""
    raise FileNotFoundError(f"ckpt_path = {path}: is a folder; {advice}{own}")


def _named(option: str, words: Sequence[str]) -> list[str]:
    """Values of an option that may be given several times."""
    given = [value for word, value in zip(words, words[1:], strict=False) if word == option]
    return given + [word.partition("=")[2] for word in words if word.startswith(f"{option}=")]


def _nearest(path: Path) -> str:
    """Names the configuration that a path may be meant for."""
    here = [path.parent, Path("configs")]
    files = {file.stem: file for folder in here for file in sorted(folder.glob("*.y*ml"))}
    close = near(path.name.partition(".")[0], files)
    return f"; did you mean {files[close]}?" if close else ""
