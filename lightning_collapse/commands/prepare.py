"""`lightning-collapse prepare`: images into a store of rows, once."""

from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.data.foreign.archives import open_archive
from lightning_collapse.data.sources.imports import (
    BadImage,
    BadImagesError,
    ImageImport,
    Policy,
    write_table,
)
from lightning_collapse.data.sources.published import find_set, keep_set
from lightning_collapse.data.store.manifest import is_committed
from lightning_collapse.data.store.shards import StoredRows, write_rows

__all__ = ["main", "prepare"]

_SHOWN = 20


def main(arguments: list[str]) -> None:
    """Runs the command."""
    sets = ["cifar10", "fashion-mnist"]
    run_command("prepare", prepare, arguments, reads=["source"], unless=sets)


def prepare(
    source: Path,
    out: Path,
    resolution: int | None = None,
    mode: Literal["RGB", "L"] | None = None,
    size: tuple[int, int] | None = None,
    on_bad_image: Literal["refuse", "convert", "skip"] = "refuse",
) -> None:
    """Imports a set of images into a store, which configurations name as `Prepared`.

    Every image is checked. What is wrong with any is listed, and written to OUT.bad_images.csv.

    Args:
        source: folder or zip archive of PNG and JPEG images; or the folder in which torchvision
            keeps CIFAR-10 or Fashion-MNIST; or cifar10 or fashion-mnist, to download them.
        out: folder to make the store in.
        resolution: side of the square to resize to, in pixels; default: the images are square.
        mode: what the images must be, RGB or L (gray), of 8 bits; default: RGB.
        size: what the images must be, as "[width, height]"; default: as most of them are.
        on_bad_image: refuse the whole set for one bad image; convert other modes and sizes, but
            refuse what cannot be decoded; or skip whatever is bad.
    """
    if resolution is not None and resolution < 1:
        raise ValueError(f"resolution = {resolution}: must be at least 1")
    _check_free(out)
    try:
        bad = _import(source, out, resolution, mode, Policy(mode or "RGB", size, on_bad_image))
    except (ValueError, FileNotFoundError) as error:
        with suppress(OSError):  # only if it is empty, or there at all
            out.rmdir()
        if isinstance(error, BadImagesError):
            _report(out, error.bad)
            error = ValueError(
                f"{source}: {len(error.bad)} of {error.total} images cannot be used, all listed "
                f"in {_table(out)}; {error.ways_out}"
            )
        raise ValueError(f"source = {str(error).removeprefix('root = ')}") from error
    _report(out, bad)
    _summarise(out)


def _import(
    source: Path, out: Path, resolution: int | None, mode: str | None, policy: Policy
) -> Sequence[BadImage]:
    """Makes the store; gives what was wrong with the images that were skipped or converted."""
    recipe = {"source": str(source)}
    if (published := find_set(source)) is not None:
        keep_set(published, out, resolution, mode, policy.size, recipe)
        return []
    with closing(open_archive(source)) as archive:
        images = ImageImport(archive, resolution, policy)
        write_rows(out, images.parts(), lambda: recipe | {"import": images.recipe()})
        return images.bad


def _check_free(out: Path) -> None:
    """Refuses a folder with anything in it but what an import that was cut short has left."""
    if is_committed(out):
        raise ValueError(f"out = {out}: holds a store already; choose another folder")
    if out.exists() and any(not _is_shard(path.name) for path in out.iterdir()):
        raise ValueError(f"out = {out}: is not empty; choose another folder")


def _is_shard(name: str) -> bool:
    return "shard-" in name and name.endswith((".npy", ".tmp"))


def _table(out: Path) -> Path:
    return Path(f"{out}.bad_images.csv")


def _report(out: Path, bad: Sequence[BadImage]) -> None:
    """Prints the first lines of the table of bad images, and writes them all beside the store."""
    if not bad:
        return
    _table(out).parent.mkdir(parents=True, exist_ok=True)
    write_table(_table(out), bad)
    shown = [image.shown for image in bad[:_SHOWN]]
    width = max(map(len, shown))
    for name, image in zip(shown, bad, strict=False):
        print(f"{name:{width}}  {image.what}")
    if len(bad) > _SHOWN:
        print(f"... and {len(bad) - _SHOWN} more, in {_table(out)}")


def _summarise(out: Path) -> None:
    stored = StoredRows(out)
    done = stored.recipe["import"]
    for name in ("images", "kept", "converted", "skipped", "ignored_files"):
        print(f"{name.replace('_', ' ')}: {done.get(name, 0)}")
    print(f"rows: {' x '.join(map(str, stored.shape))}, from {' x '.join(map(str, done['size']))}")
    classes = set() if stored.labels is None else set(stored.labels.tolist())
    print(f"classes: {', '.join(done.get('classes', ())) or len(classes) or 'none'}")
    print(f"sha256 of the images: {done['sha256']}")
    print(f"store: {out}")
