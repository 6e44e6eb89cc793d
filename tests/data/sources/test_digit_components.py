"""The digits as points, against scikit-learn's principal components."""

import numpy as np
import pytest

from lightning_collapse import DigitComponents


def test_digits_components_are_the_digits_seen_from_fewer_sides():
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA

    pixels, digits = load_digits(return_X_y=True)
    rows, labels = DigitComponents(8).read(0)
    known = PCA(8).fit_transform(pixels)
    assert rows.shape == known.shape and labels.tolist() == digits.tolist()
    apart = np.abs(np.corrcoef(rows.numpy().T, known.T)[:8, 8:])
    np.testing.assert_allclose(apart.diagonal(), 1, atol=1e-3)
    assert float(rows.square().mean()) == pytest.approx(0.25, rel=1e-4)
    _, few = DigitComponents(8, classes=(0, 1, 2, 3), rarer=5).read(0)
    counts = few.bincount().tolist()
    assert len(counts) == 4 and counts[3] == round((digits == 3).sum() / 5)
    assert counts[:3] == np.bincount(digits)[:3].tolist()


@pytest.mark.parametrize(
    ("field", "value"),
    [("dim", 0), ("dim", 65), ("classes", ()), ("classes", (11,)), ("rarer", 0)],
)
def test_what_cannot_be_is_refused(field, value):
    with pytest.raises(ValueError, match=rf"{field} = "):
        DigitComponents(**{field: value})
