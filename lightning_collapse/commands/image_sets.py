"""A set of images that a user names: a store, or a folder of image files."""

from pathlib import Path

from PIL import Image
from torch import Tensor

from lightning_collapse.data.images import ImageFolder
from lightning_collapse.data.store import StoredRows
from lightning_collapse.pool import Rows

__all__ = ["open_images"]


def open_images(field: str, path: Path) -> Rows:
    """Opens images (n, C, H, W), uint8: those of a store, or the square ones below a folder.

    Args:
        field: what the path was given as, for messages.
        path: the folder.

    Raises:
        FileNotFoundError: there is no such folder, or nothing in it.
        ValueError: what is there are no images.
    """
    if not path.is_dir():
        raise FileNotFoundError(
            f"{field} = {path}: no such folder; name one of images, or a store"
        )
    if (path / "manifest.json").exists():
        return _stored(field, path)
    if (path / "pool").is_dir():
        raise ValueError(
            f"{field} = {path}: is a run; name one of its rounds, such as {path}/pool/0000"
        )
    return _read_folder(field, path)


def _stored(field: str, path: Path) -> StoredRows:
    try:
        rows = StoredRows(path)
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{field} = {path}: its manifest cannot be read ({error!r})") from error
    if len(rows.shape) != 3:
        raise ValueError(f"{field} = {path}: holds points, not images")
    return rows


def _read_folder(field: str, path: Path) -> Tensor:
    suffixes = (".png", ".jpg", ".jpeg")
    first = min((f for f in path.rglob("*") if f.suffix.lower() in suffixes), default=None)
    if first is None:
        raise FileNotFoundError(f"{field} = {path}: holds neither a store nor PNG or JPEG images")
    try:
        with Image.open(first, formats=("PNG", "JPEG")) as image:
            width, height = image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{field} = {first}: cannot be read: {error}") from error
    if width != height:
        raise ValueError(f"{field} = {first}: is {width} x {height}; images must be square")
    images, _ = ImageFolder(path, width).read(seed=0)
    return images
