"""Patches of photographs: gray, whole, and where they were."""

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from lightning_collapse.data.sources.images import Patches


def test_patches_are_the_photographs_cut_up():
    rows, labels = Patches().read(0)
    assert rows.shape == (8480, 1, 8, 8) and labels.bincount().tolist() == [4240, 4240]
    photograph = load_sample_images().images[1].mean(-1)
    # The fourth of the second row of patches, of 80 in a row.
    expected = np.rint(photograph[8:16, 24:32]).astype(np.uint8)
    assert np.array_equal(rows[4240 + 80 + 3, 0].numpy(), expected)


@pytest.mark.parametrize("side", [1, 65])
def test_other_sides_are_refused(side):
    with pytest.raises(ValueError, match=f"side = {side}: must be 2 to 64 pixels"):
        Patches(side)
