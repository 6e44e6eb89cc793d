"""Rounds under a guide: what samples them, what is told of it, and what makes them again."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import (
    DIGITS,
    At,
    CrashError,
    Fit,
    assert_same,
    crash,
    mlp,
    outcome,
    records,
    unet,
    with_ending,
)

from lightning_collapse import (
    ClassifierFree,
    Guide,
    NegativeGuidance,
    Run,
    Sampling,
    WeightExtrapolation,
)
from lightning_collapse.runs.guided import guided, recorded_guide
from lightning_collapse.samples.rounds import RoundSampler

CLASSES = {"data": DIGITS, "network": lambda: unet(label_dim=10, label_dropout=0.1)}
GUIDES = {
    "by class": (ClassifierFree(2.0), CLASSES),
    "negative": (NegativeGuidance(0.5), {}),
    "by weights": (WeightExtrapolation(0.5), {"restart": "warm"}),
}


def fit(folder, kind, guided=True, **more):
    guide, options = GUIDES[kind]
    options = {**options, "network": options.get("network", mlp)(), **more}
    chosen = {"guide": guide} if guided else {}
    return Fit(folder, options={**chosen, **options.pop("loop_options", {})}, **options)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run under each guide, and its twin without."""
    torch.set_num_threads(1)
    made = {}
    for kind in GUIDES:
        for is_guided in (True, False):
            made[kind, is_guided] = path = tmp_path_factory.mktemp("guided") / "run"
            fit(path, kind, is_guided, rounds=3 if is_guided else 1)()
    return made


@pytest.fixture
def run(runs, tmp_path):
    def copied(kind):
        shutil.copytree(runs[kind, True], tmp_path / "copy")
        Run(tmp_path / "copy").config.write({})
        return Run(tmp_path / "copy")

    return copied


def test_samples_are_of_the_two_networks_by_the_formula(runs):
    made = Run(runs["negative", True])
    first, now = made.denoiser(0), made.denoiser(2)

    def denoiser(x, sigma, labels):
        return 1.5 * first(x, sigma) - 0.5 * now(x, sigma)

    by_hand = RoundSampler(
        denoiser,
        **{"sampling": Sampling(num_steps=4), "shape": (2,), "n": 48, "micro_batch": 8},
        **{"label_dim": 0, "seed": 0, "round": 2, "device": torch.device("cpu")},
    )
    torch.testing.assert_close(by_hand.sample(0), made.samples(2)[torch.arange(8)])


@pytest.mark.parametrize("kind", ["negative", "by weights"])
def test_round_0_is_that_of_the_run_without(runs, kind):
    alone, under = Run(runs[kind, False]), Run(runs[kind, True])
    assert torch.equal(alone.samples(0)[torch.arange(48)], under.samples(0)[torch.arange(48)])
    assert alone.samples(0).recipe == under.samples(0).recipe
    assert records(under.path)[0]["guide"] is None


@pytest.mark.parametrize(
    ("kind", "told", "calls"),
    [
        ("by class", ["ClassifierFree"] * 3, [8, 8, 8]),
        ("negative", [None, "NegativeGuidance", "NegativeGuidance"], [4, 8, 8]),
        ("by weights", [None, "WeightExtrapolation", "WeightExtrapolation"], [4, 4, 4]),
    ],
)
def test_a_record_tells_the_guide_and_its_cost(runs, kind, told, calls):
    rounds = records(runs[kind, True])
    assert [record["guide"] for record in rounds] == told
    assert [record["calls_per_sample"] for record in rounds] == calls
    weight = {"weight": GUIDES[kind][0].weight}
    assert [record["guide_options"] for record in rounds] == [
        weight if name else {} for name in told
    ]
    assert records(runs[kind, False])[0]["calls_per_sample"] == 4


@pytest.mark.parametrize("kind", GUIDES)
def test_a_run_that_dies_ends_the_same(tmp_path, runs, kind):
    def dying(plain, *args):
        plain(*args)
        raise CrashError

    places = [{"callbacks": [At("on_train_batch_end", 1, 3, crash)]}]
    places += [{"loop": with_ending(sample_shards=dying)}, {"loop": with_ending(_commit=dying)}]
    for place in places:
        with pytest.raises(CrashError):
            fit(tmp_path, kind, rounds=3, **place)()
    fit(tmp_path, kind, rounds=3)()
    assert_same(outcome(tmp_path), outcome(runs[kind, True]))


@pytest.mark.parametrize("kind", GUIDES)
def test_samples_are_made_again_byte_for_byte(run, kind):
    copy = run(kind)
    shards = sorted(copy.round(2).glob("shard-*.npy"))
    whole = [path.read_bytes() for path in shards]
    shards[0].unlink()
    told = copy.repair()
    assert told[shards[0]] == "its samples were made again"
    assert [path.read_bytes() for path in shards] == whole


def test_the_first_rounds_checkpoint_is_kept_and_missed(tmp_path):
    fit(tmp_path, "negative", rounds=3, loop_options={"keep_checkpoints": 1})()
    run = Run(tmp_path)
    run.config.write({})
    assert sorted(path.name for path in run.checkpoints.glob("round*")) == [
        "round-0000.ckpt",
        "round-0002.ckpt",
    ]
    assert run.damage() == {}
    run.checkpoint(0).unlink()
    assert run.damage()[run.checkpoint(0)] == "is gone"
    shard = next(run.round(2).glob("shard-*.npy"))
    shard.unlink()
    assert "NegativeGuidance: needs the network of round 0" in run.repair()[shard]
    with pytest.raises(ValueError, match=r"loop.guide = NegativeGuidance: needs .* is gone"):
        fit(tmp_path, "negative", rounds=4)()


def test_without_a_guide_the_first_rounds_checkpoint_goes(tmp_path):
    fit(tmp_path, "negative", guided=False, rounds=2, loop_options={"keep_checkpoints": 1})()
    assert not Run(tmp_path).checkpoint(0).exists() and Run(tmp_path).damage().keys() <= {
        Run(tmp_path).config.path
    }


@pytest.mark.parametrize(
    ("guide", "network", "said"),
    [
        (ClassifierFree(), {}, "loop.guide = ClassifierFree: needs a network with classes"),
        (ClassifierFree(), {"label_dim": 3}, "label_dropout above 0, such as 0.1"),
        (WeightExtrapolation(), {}, "set model.restart to warm, not scratch"),
    ],
)
def test_what_cannot_be_guided_is_refused_before_training(tmp_path, guide, network, said):
    with pytest.raises(ValueError, match=said):
        Fit(tmp_path, network=mlp(**network), options={"guide": guide})()
    assert not Run(tmp_path).checkpoints.exists()


@dataclass(frozen=True)
class Wrong(Guide):
    """A user's own, wrong in one way or another."""

    how: Any = "in its shape"

    def __call__(self, denoiser, first):
        if self.how == "as it is made":
            raise KeyError("round")
        if self.how == "without labels":
            return lambda x, sigma: x
        return lambda x, sigma, labels: denoiser(x, sigma, labels)[:1]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("in its shape", r"makes \[1, 2\] of rows \[2, 2\]"),
        ("as it is made", r"cannot guide the network \(KeyError\('round'\)\)"),
        ("without labels", "cannot guide the network .*positional"),
        (Path("here"), "cannot guide the network .*not JSON serializable"),
    ],
)
def test_an_own_guide_that_is_wrong_is_one_line_before_training(tmp_path, how, said):
    with pytest.raises(ValueError, match=f"loop.guide = Wrong: .*({said})"):
        Fit(tmp_path, options={"guide": Wrong(how)})()
    assert not Run(tmp_path).checkpoints.exists()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"class_path": "mine.Away"}, "guide = mine.Away: is none of ClassifierFree"),
        ({"class_path": "lightning_collapse.x.Run"}, "is none of"),
        ("text", "is none of"),
        (
            {
                "class_path": "lightning_collapse.sampling.guide.NegativeGuidance",
                "init_args": {"weight": -1},
            },
            "guide = NegativeGuidance: cannot be made",
        ),
        (
            {"class_path": "lightning_collapse.NegativeGuidance", "init_args": {"x": 1}},
            "cannot be made",
        ),
    ],
)
def test_a_recipe_of_unknown_origin_is_one_line(told, said):
    with pytest.raises(ValueError, match=said):
        recorded_guide(told)


def test_what_is_trusted_and_is_no_guide_is_not_made():
    with pytest.raises(ValueError, match="what is trusted by that name is no Guide"):
        recorded_guide({"class_path": "mine.exit"}, "sys.exit")


def test_a_checkpoint_outside_of_its_run_cannot_be_guided_by_round_0(runs, tmp_path):
    run = Run(runs["negative", True])
    moved = tmp_path / "deep" / "net.ckpt"
    with pytest.raises(FileNotFoundError, match="needs the network of round 0"):
        guided(NegativeGuidance(), run.denoiser(1), moved)


def test_a_guided_manifest_names_the_files_that_its_samples_come_from(runs):
    path = runs["by weights", True] / "pool/0001/manifest.json"
    recipe = json.loads(path.read_text())["recipe"]
    assert recipe["checkpoint"] == "checkpoints/round-0001.ckpt"
    assert recipe["first"] == "checkpoints/round-0000.ckpt"
