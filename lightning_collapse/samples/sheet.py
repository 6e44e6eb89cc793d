"""Contact sheets: what samples look like, on one picture."""

import io
import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from lightning_collapse.data.files import write_atomically

__all__ = ["PREVIEW_ROWS", "contact_sheet", "encode_contact_sheet", "write_contact_sheet"]

PREVIEW_ROWS = 64
_CELL = 48
_SCATTER_SIDE, _SCATTER_REACH = 384, 1.25


def write_contact_sheet(path: Path, rows: Tensor) -> None:
    """Writes the contact sheet of rows (n, *) as a PNG."""
    data = encode_contact_sheet(rows)
    write_atomically(path, lambda file: file.write(data))


def encode_contact_sheet(rows: Tensor) -> bytes:
    """Gives the contact sheet of rows (n, *) as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(contact_sheet(rows).numpy()).save(buffer, format="PNG")
    return buffer.getvalue()


def contact_sheet(rows: Tensor, columns: int | None = None) -> Tensor:
    """Gives a picture of rows as RGB pixels (height, width, 3), uint8.

    Args:
        rows: images (n, C, H, W) uint8, laid out in a grid, small ones enlarged; or points (n, d),
            of which the first two axes are drawn on [-1.25, 1.25].
        columns: images in a row of the grid; default: about as many as rows.
    """
    if rows.ndim == 2:
        return _scatter(rows)
    scale = max(1, _CELL // rows.shape[-1])
    images = rows.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    images = images[:, :3].expand(-1, 3, -1, -1) if images.shape[1] < 3 else images[:, :3]
    columns = columns or math.ceil(math.sqrt(len(rows)))
    lines = math.ceil(len(rows) / columns)
    pad = max(1, scale // 2)
    height, width = images.shape[-2] + pad, images.shape[-1] + pad
    sheet = torch.full((lines * height + pad, columns * width + pad, 3), 255, dtype=torch.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * height + pad, i % columns * width + pad
        cell = sheet[top : top + image.shape[1], left : left + image.shape[2]]
        cell.copy_(image.permute(1, 2, 0))
    return sheet


def _scatter(points: Tensor) -> Tensor:
    side = _SCATTER_SIDE
    x = points[:, 0]
    y = points[:, 1] if points.shape[1] > 1 else torch.zeros_like(x)
    column = ((x / _SCATTER_REACH + 1) / 2 * side).long().clamp(1, side - 2)
    line = ((1 - y / _SCATTER_REACH) / 2 * side).long().clamp(1, side - 2)
    sheet = torch.full((side, side, 3), 255, dtype=torch.uint8)
    ink = torch.tensor([0, 90, 160], dtype=torch.uint8)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            sheet[line + down, column + right] = ink
    return sheet
