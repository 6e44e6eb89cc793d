"""NVIDIA's own samples, from networks with random weights (see tests/fixtures)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_collapse.networks.unet import nvidia_network
from lightning_collapse.rows import from_network_units
from lightning_collapse.sampling.schedules import karras_sigmas
from lightning_collapse.sampling.solvers import heun_sampler


@pytest.fixture
def fixtures(pytestconfig):
    return Path(
        pytestconfig.getoption("--fixtures-dir", None) or Path(__file__).parents[1] / "fixtures"
    )


def arrays(path):
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.mark.parametrize("case", ["edm_tiny", "ncsnpp_tiny", "edm_small"])
def test_heun_gives_nvidias_samples(case, fixtures):
    if case == "edm_small" and not (fixtures / "edm_small.json").exists():
        pytest.skip("edm_small is not kept in the repository: give its folder as --fixtures-dir")
    settings = json.loads((fixtures / f"{case}.json").read_text())
    network = nvidia_network(**settings["init_kwargs"]).eval()
    network.load_state_dict(arrays(fixtures / f"{case}_weights.npz"))
    reference = arrays(fixtures / f"{case}_reference.npz")
    labels = reference.get("class_labels")

    samples = heun_sampler(
        lambda x, sigma: network(x, sigma, labels), reference["latents"], karras_sigmas(8)
    )
    expected = reference["sample_8steps"]
    torch.testing.assert_close(samples, expected, rtol=0, atol=1e-4)
    if "sample_8steps_uint8" in reference:  # (B, H, W, C)
        levels = reference["sample_8steps_uint8"].permute(0, 3, 1, 2)
    else:
        levels = from_network_units(expected)
    assert (from_network_units(samples).int() - levels.int()).abs().max() <= 1
