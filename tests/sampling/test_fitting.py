"""Levels fitted to a mixture: what they are worth on noise that they were not fitted to."""

from dataclasses import replace

import pytest
import torch

from lightning_collapse.sampling.bias import exact_samples, mixture_bias
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.fitting import fitted
from lightning_collapse.sampling.oracles import Groups
from lightning_collapse.seeds import generator

MODES = Groups(
    "classes",
    torch.tensor([[-0.5, -0.5], [0.0, 0.5], [0.5, -0.5]]).double(),
    (0.02 * torch.eye(2)).double().expand(3, 2, 2),
    torch.full((3,), 1 / 3).double(),
)


def distance(a, b):
    """Sliced Wasserstein, of second order, over 64 directions."""
    turns = torch.linspace(0, torch.pi, 65, dtype=torch.float64)[:-1]
    across = torch.stack([turns.cos(), turns.sin()])
    return float(((a @ across).sort(0)[0] - (b @ across).sort(0)[0]).square().mean().sqrt())


@pytest.mark.parametrize("start", ["zero", "mean"])
def test_half_the_calls_err_less_than_the_usual_ones(start):
    usual = Sampling(start=start)
    few = fitted(Sampling("unipc_3m", num_steps=18, start=start), MODES, n=64)
    assert (few.calls, usual.calls) == (18, 35)
    assert few.levels[0] == 80 and few.levels[-1] == 0.002
    assert abs(mixture_bias(few, MODES).error) < abs(mixture_bias(usual, MODES).error) / 2
    noise = torch.randn(4000, 2, generator=generator(1, "noise"), dtype=torch.float64)
    exact = exact_samples(MODES, noise)
    found = [distance(one(MODES.denoiser, noise), exact) for one in (few, usual)]
    assert found[0] < found[1]


def test_what_levels_do_not_depend_on_is_kept_for_sampling():
    asked = Sampling(num_steps=5, temperature=0.9, last="stop")
    found, plain = (fitted(one, MODES, n=8) for one in (asked, Sampling(num_steps=5)))
    assert found == replace(asked, schedule="levels", levels=plain.levels)
    assert Sampling.recorded(found.recipe) == found
    with pytest.raises(ValueError, match="num_steps = 2: must be at least 3"):
        fitted(Sampling(num_steps=2), MODES)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"levels": (80, 1, 0.002)}, "levels: need schedule = levels, got log_uniform"),
        ({"schedule": "levels", "levels": None}, "levels = None: must be a list of numbers"),
        ({"schedule": "levels", "levels": (80, "x", 0.002)}, "could not convert"),
        ({"schedule": "levels"}, "levels: must be as many as num_steps = 3, got 0"),
        ({"schedule": "levels", "levels": (80, 1, 0.1)}, "from sigma_max = 80.0 to sigma_min"),
        ({"schedule": "levels", "levels": (80, 90, 0.002)}, "each must be below"),
        ({"schedule": "levels", "levels": (80, float("nan"), 0.002)}, "each must be below"),
    ],
)
def test_levels_that_lead_nowhere_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Sampling(num_steps=3, **options)
