import numpy as np
import pytest
import torch
from PIL import Image

from lightning_collapse.samples.sheet import contact_sheet, write_contact_sheet
from lightning_collapse.seeds import generator


def images(n, channels=3, side=8, width=None):
    shape = (n, channels, side, width or side)
    return torch.randint(0, 255, shape, dtype=torch.uint8, generator=generator(0, *shape))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("n", "columns", "lines"), [(6, 3, 2), (7, 3, 3), (1, 1, 1), (2, 16, 1)])
@pytest.mark.parametrize("side", [48, 64])
def test_every_image_stands_in_its_cell(channels, n, columns, lines, side):
    rows = images(n, channels, side)
    sheet = contact_sheet(rows, columns)
    step = side + 1  # a white line of one pixel around each
    assert sheet.shape == (lines * step + 1, columns * step + 1, 3)
    assert sheet.dtype == torch.uint8
    for i, image in enumerate(rows.expand(-1, 3, -1, -1)):
        top, left = i // columns * step + 1, i % columns * step + 1
        cell = sheet[top : top + side, left : left + side].permute(2, 0, 1)
        assert torch.equal(cell, image)
        sheet[top : top + side, left : left + side] = 255
    assert (sheet == 255).all()


def test_small_images_are_enlarged_by_whole_pixels():
    rows = images(4, channels=1, side=8)
    sheet = contact_sheet(rows)
    pad, side = 3, 48
    assert sheet.shape == (2 * (side + pad) + pad, 2 * (side + pad) + pad, 3)
    cell = sheet[pad : pad + side, pad : pad + side, 0]
    assert torch.equal(cell, rows[0, 0].repeat_interleave(6, 0).repeat_interleave(6, 1))


def test_the_grid_is_near_a_square_by_default():
    assert torch.equal(contact_sheet(images(10)), contact_sheet(images(10), columns=4))


def test_images_need_not_be_square():
    assert contact_sheet(images(2, side=50, width=60), columns=2).shape == (52, 2 * 61 + 1, 3)


@pytest.mark.parametrize(
    ("point", "column", "line"),
    [
        ((0.0, 0.0), 192, 192),
        ((1.0, 0.0), 345, 192),
        ((0.0, 1.0), 192, 38),  # up
        ((-9.0, -9.0), 1, 382),  # outside: at the border
        ((0.5,), 268, 192),  # one axis
        ((0.0, 1.0, 5.0), 192, 38),  # the first two axes
    ],
)
def test_points_are_dots_of_three_pixels(point, column, line):
    sheet = contact_sheet(torch.tensor([point]))
    assert sheet.shape == (384, 384, 3)
    inked = (sheet != 255).any(2).nonzero().tolist()
    spread = (-1, 0, 1)
    assert inked == [[line + i, column + j] for i in spread for j in spread]


@pytest.mark.parametrize("rows", [images(5), torch.randn(30, 2, generator=generator(0, "points"))])
def test_the_file_holds_the_sheet(tmp_path, rows):
    write_contact_sheet(tmp_path / "preview.png", rows)
    with Image.open(tmp_path / "preview.png") as picture:
        assert picture.format == "PNG"
        assert np.array_equal(np.array(picture), contact_sheet(rows).numpy())
