"""`lightning-collapse prepare`: images into a store of rows, once."""

from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.data.foreign.archives import open_archive
from lightning_collapse.data.foreign.hidden import shown
from lightning_collapse.data.sources.imports import (
    BadImage,
    BadImagesError,
    ImageImport,
    Policy,
    import_notes,
    write_table,
)
from lightning_collapse.data.sources.published import find_set, keep_set
from lightning_collapse.data.store.manifest import is_committed
from lightning_collapse.data.store.shards import StoredRows, write_rows

__all__ = ["main", "prepare"]

_SHOWN = 20
_WAYS_OUT = (
    "repair or remove them, declare another --mode or --size, or choose --on_bad_image convert or "
    "skip"
)


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
    follow_links: bool = False,
) -> None:
    """Imports a set of images into a store, which configurations name as `Prepared`.

    Every image is checked. What is wrong with any is listed, and written to OUT.bad_images.csv.

    Args:
        source: folder or zip archive of images; parquet files of images, as the Hugging Face Hub
            has them; an npy or npz with one array of them; the folder in which torchvision keeps
            CIFAR-10 or Fashion-MNIST; or cifar10 or fashion-mnist, to download them.
        out: folder to make the store in.
        resolution: side of the square to resize to, in pixels; default: the images are square.
        mode: what the images must be, RGB or L (gray), of 8 bits; default: RGB.
        size: what the images must be, as "[width, height]"; default: as most of them are.
        on_bad_image: refuse the whole set for one bad image; convert other modes and sizes, but
            refuse what cannot be decoded; or skip whatever is bad.
        follow_links: follow a folder's links to what is in it.
    """
    if resolution is not None and resolution < 1:
        raise ValueError(f"resolution = {resolution}: must be at least 1")
    _check_free(out)
    policy = Policy(mode or "RGB", size, on_bad_image)
    try:
        bad = _import(source, out, resolution, mode, policy, follow_links)
    except (ValueError, FileNotFoundError) as error:
        with suppress(OSError):  # only if it is empty, or there at all
            out.rmdir()
        if isinstance(error, BadImagesError):
            _report(out, error.bad)
            error = ValueError(
                f"{source}: {len(error.bad)} of {error.total} images cannot be used, all listed "
                f"in {_table(out)}; {_WAYS_OUT}"
            )
        said = str(error).removeprefix("root = ").removeprefix("path = ")
        raise ValueError(f"source = {said}") from error
    _report(out, bad)
    _summarise(out)


def _import(
    source: Path,
    out: Path,
    resolution: int | None,
    mode: str | None,
    policy: Policy,
    follow_links: bool,
) -> Sequence[BadImage]:
    """Makes the store; gives what was wrong with the images that were skipped or converted."""
    recipe = {"source": str(source)}
    if (published := find_set(source)) is not None:
        keep_set(published, out, resolution, mode, policy.size, recipe)
        return []
    with closing(open_archive(source, follow_links)) as archive:
        images = ImageImport(archive, resolution, policy)
        write_rows(out, images.parts(), lambda: recipe | {"import": images.recipe()})
        return images.bad


def _check_free(out: Path) -> None:
    """Refuses a folder with anything in it but what an import that was cut short has left."""
    if out.suffix.lower() == ".zip":
        raise ValueError(
            f"out = {out}: prepare makes a folder; choose a name without .zip, of which "
            "`lightning-collapse export` makes a zip"
        )
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
    names = [shown(image.name) for image in bad[:_SHOWN]]
    width = max(map(len, names))
    for name, image in zip(names, bad, strict=False):
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
    for line in import_notes(stored.recipe):
        print(line)
    print(f"sha256 of the images: {done['sha256']}")
    print(f"store: {out}")
