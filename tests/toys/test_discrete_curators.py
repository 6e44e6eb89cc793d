"""A curator on categories, where the law of its selection is known exactly."""

import json
from math import comb

import numpy as np
import pytest

from lightning_collapse import ByDensity, RealWeight
from lightning_collapse.commands import toy_discrete
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.discrete import Law, simulate, summarise

N, KEPT = 8, 4


def binomial(n, p):
    return np.array([comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)])


def left(order, c):
    """Chances of how many of the KEPT are of the first category, of which there are c of N."""
    chances = np.zeros(KEPT + 1)
    if order == "random" or c == N - c:
        # Without replacement; so it is among equals too.
        for k in range(KEPT + 1):
            chances[k] = comb(c, k) * comb(N - c, KEPT - k) / comb(N, KEPT)
    elif (c > N - c) == (order == "top"):
        chances[min(c, KEPT)] = 1
    else:
        chances[KEPT - min(N - c, KEPT)] = 1
    return chances


@pytest.mark.parametrize("order", ["top", "bottom", "random"])
def test_the_law_of_a_selection_by_density_is_exact(order):
    share, k = 0.3, np.arange(KEPT + 1)
    law = Law((share, 1 - share))
    expected = sum(
        first * second * (left(order, c) * (1 - (k / KEPT) ** 2 - (1 - k / KEPT) ** 2)).sum()
        for c0, first in enumerate(binomial(N, share))
        for c, second in enumerate(binomial(N, c0 / N))
    )
    if order == "random":
        # As if there were half as many samples.
        assert expected == pytest.approx(2 * share * (1 - share) * (1 - 1 / N) * (1 - 1 / KEPT))
    setting = condition("Replace", 1.0, N, 2)
    course = simulate(setting, 2, 3000, law, 1, ByDensity(0.5, order))
    error = course.diversity[1].std() / 3000**0.5
    assert abs(course.diversity[1].mean() - expected) < 3.8 * error + 1e-12
    assert (course.n_synthetic[1] == KEPT).all()


def test_weights_of_real_rows_have_the_known_error():
    """He et al.: with as many new real rows as samples, (w² + (1 - w)²)/(w (2 - w)) in the end."""
    # Without the loss of diversity, which shrinks the noise of samples by a share of order 1/n.
    law, n = Law((0.5, 0.5)), 200
    for weight in (0.3, RealWeight().weight):
        setting = condition("Fresh", 0.5, 2 * n, 12)
        course = simulate(setting, 12, 1500, law, 2, RealWeight(weight))
        late = course.sq_error[-1]
        known = (weight**2 + (1 - weight) ** 2) / (weight * (2 - weight)) * 0.5 / n
        assert late.mean() == pytest.approx(known, abs=4 * late.std() / 1500**0.5 + 0.02 * known)


def test_a_curated_toy_is_told_as_such(tmp_path, capsys):
    words = ["--n=20", "--lambdas=0,1", "--rounds=3", "--replicas=3", "--curator=ByDensity"]
    toy_discrete.main([*words, "--curator.order=top", f"--out={tmp_path}"])
    capsys.readouterr()
    summary = json.loads((tmp_path / "summary.json").read_text())
    control, full = summary["conditions"]
    assert control["n_synthetic"] == [0, 0, 0]
    assert full["n_synthetic"] == [0, 10, 10]
    assert full["theory"] == {}
    assert "ByDensity" in full["curator"]
    assert '{"class_path": "lightning_collapse.curators.density.ByDensity"' in summary["command"]


def test_replicas_depend_on_themselves_alone():
    setting, law = condition("Accumulate", 1.0, 10, 4), Law((0.5, 0.3, 0.2))
    many, few = (simulate(setting, 4, n, law, 3, ByDensity(0.5)) for n in (6, 2))
    assert np.array_equal(many.diversity[:, :2], few.diversity)
    assert summarise(setting, few, law)["curator"] is None
