"""A sample depends on its seed alone, and is the one that NVIDIA's generate.py makes of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import unet

from lightning_collapse import EDMPrecond, nvidia_network
from lightning_collapse.samples import seeds as sampler_module
from lightning_collapse.samples.files import write_pngs, write_shards
from lightning_collapse.samples.seed_lists import format_seeds, parse_seeds
from lightning_collapse.samples.seeds import SeedSampler
from lightning_collapse.sampling.choice import Sampling

FIXTURES = Path(__file__).parents[1] / "fixtures"
CPU = torch.device("cpu")
CHURNED = Sampling("heun", "karras", 4, S_churn=2.0)
CHURN = {"S_churn": 40, "S_min": 0.05, "S_max": 50, "S_noise": 1.003}


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("7", [7]),
        ("0,1,2,5-10", [0, 1, 2, 5, 6, 7, 8, 9, 10]),
        ("3-3", [3]),
        ("9, 1 ,4-5", [1, 4, 5, 9]),
        ("2-4,3,4-6", [2, 3, 4, 5, 6]),
        ("4294967295", [2**32 - 1]),
        ("007", [7]),
    ],
)
def test_seeds_are_numbers_and_ranges(text, seeds):
    assert parse_seeds(text) == seeds
    assert parse_seeds(format_seeds(seeds)) == seeds


@pytest.mark.parametrize(
    "text",
    ["", ",", "1,", "-1", "1-", "5-3", "1-2-3", "a", "1.5", "1e3", "0x10", "²", "1 2", "--1"]
    + ["4294967296", "0-4294967295", "0-10000000", "0-9,20-10000019", "9" * 5000],
)
def test_other_seeds_are_refused_in_a_line(text):
    with pytest.raises(ValueError, match="^seeds = .*must") as refusal:
        parse_seeds(text)
    assert len(str(refusal.value).splitlines()) == 1


def test_seeds_are_written_shortly():
    assert format_seeds([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"


def nvidias() -> tuple[SeedSampler, dict[str, torch.Tensor]]:
    """A network with 3 classes, and what NVIDIA's code made of it for some seeds."""
    init_kwargs = json.loads((FIXTURES / "ncsnpp_tiny.json").read_text())["init_kwargs"]
    weights, made = (
        {name: torch.from_numpy(array) for name, array in np.load(path).items()}
        for path in (FIXTURES / f"ncsnpp_tiny_{what}.npz" for what in ("weights", "generate"))
    )
    denoiser = nvidia_network(**init_kwargs).eval()
    denoiser.load_state_dict(weights)
    plain = Sampling("heun", "karras", 6)
    return SeedSampler(denoiser, plain, (3, 16, 16), 8, 3, None, CPU), made


@pytest.mark.parametrize(("name", "churn"), [("samples", {}), ("churned", CHURN)])
def test_samples_are_nvidias(name, churn, monkeypatch):
    sampler, made = nvidias()
    monkeypatch.setattr(sampler_module, "from_network_units", lambda x: x)
    sampler = replace(sampler, sampling=Sampling("heun", "karras", 6, **churn))
    seeds = made["seeds"].tolist()
    samples = {}
    for batch in sampler.batches(seeds):
        samples |= zip(batch, sampler.sample(batch), strict=True)
    ours = torch.stack([samples[seed] for seed in seeds]).float()
    torch.testing.assert_close(ours, made[name], rtol=0, atol=1e-4)


def test_classes_are_nvidias():
    sampler, made = nvidias()
    seeds = made["seeds"].tolist()
    assert torch.equal(sampler.labels(seeds), made["labels"])
    assert torch.equal(replace(sampler, label=2).labels(seeds), torch.full((6,), 2))


def test_latents_are_nvidias():
    seen = []
    sampler, made = nvidias()

    def spy(x, sigma, labels):
        seen.append((x / sigma, labels))
        return torch.zeros_like(x)

    (batch,) = replace(sampler, denoiser=spy).batches([0, 1, 2, 3])
    replace(sampler, denoiser=spy).sample(batch)
    latents, labels = seen[0]
    torch.testing.assert_close(latents[:4].float(), made["latents"][:4])
    assert torch.equal(labels[:4], made["labels"][:4])


def digits(**options) -> SeedSampler:
    torch.manual_seed(0)
    network = unet()
    with torch.no_grad():  # a new network gives zeros, in which nothing could go wrong
        for value in network.parameters():
            value.add_(0.1 * torch.randn_like(value))
    return SeedSampler(
        **{
            "denoiser": EDMPrecond(network).eval(),
            "sampling": CHURNED,
            "shape": (1, 8, 8),
            "micro_batch": 5,
            "label_dim": 0,
            "label": None,
            "device": CPU,
            **options,
        }
    )


def samples_of(sampler: SeedSampler, seeds: list[int]) -> dict[int, torch.Tensor]:
    made = {}
    for batch in sampler.batches(seeds):
        made |= zip(batch, sampler.sample(batch), strict=True)
    assert sorted(made) == sorted(seeds)
    return made


# Two threads and batches of five are where kernels are known to differ between slots; few steps,
# since threads that wait for each other are slow.
@pytest.mark.parametrize(
    ("threads", "sampling"), [(1, CHURNED), (2, Sampling("euler", "karras", 1))]
)
def test_a_sample_is_the_same_alone_and_in_any_company(threads, sampling, monkeypatch):
    torch.set_num_threads(threads)  # undone by the fixture one_thread
    # The last bits count, not what is left of them in 256 levels.
    monkeypatch.setattr(sampler_module, "from_network_units", lambda x: x)
    sampler = digits(sampling=sampling)
    many = samples_of(sampler, list(range(12)))
    few = samples_of(sampler, [3, 4, 8, 9, 13, 18])
    for seed in (3, 4, 8, 9):
        assert torch.equal(few[seed], many[seed])
        assert torch.equal(samples_of(sampler, [seed])[seed], many[seed])
    assert not torch.equal(many[3], many[8])


def test_batches_fill_their_slots():
    sampler = digits(micro_batch=4)
    assert sampler.batches([2, 3, 4, 5, 6]) == [[2, 3, 4, 5], [6]]
    assert sampler.batches([0, 4, 5, 8]) == [[0, 5], [4], [8]]


def test_other_batches_change_a_sample_in_rounding_only(monkeypatch):
    monkeypatch.setattr(sampler_module, "from_network_units", lambda x: x)
    by_five, by_three = (samples_of(digits(micro_batch=n), list(range(6))) for n in (5, 3))
    for seed in range(6):
        torch.testing.assert_close(by_five[seed], by_three[seed], rtol=0, atol=1e-4)


@pytest.mark.parametrize("write", [write_pngs, write_shards])
def test_any_number_of_processes_writes_the_same_files(tmp_path, write):
    sampler, seeds, made = digits(), [*range(3, 30), 2000], {}
    for n in (1, 3):
        folder = tmp_path / str(n)
        folder.mkdir()
        for rank in reversed(range(n)):
            made[n] = made.get(n, 0) + sum(write(folder, sampler, seeds, rank, n))
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        made[f"files of {n}"] = {path.relative_to(folder): path.read_bytes() for path in files}
    assert made[1] == made[3] == len(seeds)
    assert made["files of 1"] == made["files of 3"]
    assert len(made["files of 1"]) == (len(seeds) if write is write_pngs else 2 * 6)
