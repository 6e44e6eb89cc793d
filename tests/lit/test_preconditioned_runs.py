"""Runs of other preconditionings and noise levels than EDM's: nothing takes them for EDM's."""

import json
import math
import shutil
import sys

import pytest
import torch
from tiny_runs import (
    At,
    CrashError,
    Fit,
    arguments,
    assert_same,
    crash,
    mlp,
    outcome,
    records,
)

from lightning_collapse import (
    VE,
    VP,
    CollapseModule,
    LogNormal,
    LogUniform,
    Sampling,
    UniformTime,
    load_denoiser,
)
from lightning_collapse.commands import generate as generate_module
from lightning_collapse.commands.fit import run_fit
from lightning_collapse.runs.checkpoints import read_checkpoint
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.repair import repair
from lightning_collapse.runs.weights import load_weights

KINDS = {
    "vp": {"preconditioning": VP(epsilon_t=1e-4), "noise": UniformTime(epsilon_t=1e-4)},
    "ve": {"preconditioning": VE(0.05, 60.0), "noise": LogUniform(0.05, 60.0)},
}
LEVELS = Sampling(num_steps=4, sigma_min=0.05, sigma_max=60.0)


def fit(folder, kind, **options):
    return Fit(folder, options={"sampling": LEVELS}, **KINDS[kind], **options)


@pytest.fixture(scope="module", params=sorted(KINDS))
def run(request, tmp_path_factory):
    torch.set_num_threads(1)
    return request.param, fit(tmp_path_factory.mktemp("run") / "run", request.param)()


def last(folder):
    return folder / "checkpoints" / "last.ckpt"


def test_its_checkpoint_and_its_records_tell_them(run):
    kind, made = run
    model = read_checkpoint(last(made.folder))["model"]
    assert model.keys() == {"network", "preconditioning", "noise", "row_shape"}
    record = made.records[1]
    if kind == "vp":
        assert record["preconditioning"] == (
            "VP(beta_d=19.9, beta_min=0.1, M=1000, epsilon_t=0.0001)"
        )
    assert record["noise"] == str(KINDS[kind]["noise"])
    edges = record["val_loss_noise_edges"]
    assert len(edges) == 5 and min(record["val_loss_by_noise"]) >= 0
    if kind == "ve":
        steps = torch.tensor(edges).diff()
        assert torch.allclose(steps, steps.mean())


def test_what_is_loaded_is_the_same_denoiser(run, tmp_path):
    kind, made = run
    loaded = load_denoiser(last(made.folder))
    back = CollapseModule.load_from_checkpoint(last(made.folder))
    assert loaded.preconditioning == back.loss.preconditioning == KINDS[kind]["preconditioning"]
    assert back.loss.noise == KINDS[kind]["noise"]
    noise = torch.randn(5, 2)
    expected = LEVELS(made.module.ema, noise)
    assert torch.equal(LEVELS(loaded, noise), expected)
    assert torch.equal(LEVELS(back.ema, noise), expected)
    assert loaded.sigma_min == made.module.ema.sigma_min > 0
    line = f"--ckpt {last(made.folder)} --seeds 0-3 --format store --batch 4 --device cpu"
    levels = "--sigma_min 0.05 --sigma_max 60 --steps 2"
    generate_module.main([*line.split(), *levels.split(), "--out", str(tmp_path / "out")])


def test_it_is_not_asked_at_levels_that_it_does_not_know(run, tmp_path, capsys):
    _, made = run
    line = f"--ckpt {last(made.folder)} --seeds 0-3 --format store --sigma_min 1e-4"
    with pytest.raises(SystemExit) as left:
        generate_module.main([*line.split(), "--out", str(tmp_path / "out")])
    err = capsys.readouterr().err
    assert left.value.code == 2 and "must lie in" in err and err.count("\n") == 1


def test_a_run_that_died_is_the_same_run(run, tmp_path):
    kind, made = run
    with pytest.raises(CrashError):
        fit(tmp_path, kind, callbacks=[At("on_train_batch_end", 1, 3, crash)])()
    assert_same(outcome(fit(tmp_path, kind)().folder), outcome(made.folder))


def test_its_samples_are_made_again(run, tmp_path):
    copy = Run(shutil.copytree(run[1].folder, tmp_path / "run"))
    shard = copy.path / "pool" / "0001" / "shard-00000.npy"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert {p: done for p, done, _ in repair(copy)}[shard] == "its samples were made again"
    assert shard.read_bytes() == whole


def test_it_does_not_go_on_as_another(run, tmp_path):
    copy = shutil.copytree(run[1].folder, tmp_path / "run")
    with pytest.raises(
        ValueError, match="model = .*sigma_data.*: the run was started with .*precond"
    ):
        Fit(copy, options={"sampling": LEVELS}, rounds=3)()


def test_its_weights_do_not_start_another(run):
    kind, made = run
    with pytest.raises(ValueError, match=f"was trained behind the preconditioning {kind.upper()}"):
        load_weights(CollapseModule(mlp()).model, last(made.folder))
    load_weights(fit(made.folder, kind).module.model, last(made.folder))


def test_the_default_is_described_as_ever(tmp_path):
    made = Fit(tmp_path, rounds=1, noise=LogNormal(-1.0, 1.0))()
    model = read_checkpoint(last(made.folder))["model"]
    assert {**model, "network": 0} == {
        **{"network": 0, "sigma_data": 0.5, "P_mean": -1.0, "P_std": 1.0, "row_shape": (2,)}
    }
    assert made.records[0]["preconditioning"] == "EDM(sigma_data=0.5)"


def test_levels_without_a_network_for_them_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"loop.sampling.sigma_min = 0.002: must lie in 0.02..100"
    ):
        Fit(tmp_path, preconditioning=VE())()
    with pytest.raises(ValueError, match=r"loop.sampling.sigma_max = 80.0: must lie in 0.001..60"):
        Fit(tmp_path, noise=LogUniform(0.001, 60))()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"sigma_data": 0.6, "preconditioning": VP()},
            "model.sigma_data = 0.6: has no effect with preconditioning = VP",
        ),
        ({"P_std": 1.0, "noise": LogUniform()}, "model.P_std = 1.0: has no effect with noise ="),
    ],
)
def test_numbers_of_edms_beside_another_are_refused(options, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        CollapseModule(mlp(), **options)


def test_a_configuration_names_them(tmp_path):
    chosen = {"model__preconditioning": "VE", "model__noise": "LogUniform"}
    levels = {"loop__sampling__sigma_min": 0.02}
    run_fit(arguments(tmp_path / "run", **chosen, **levels, trainer__max_epochs=1))
    assert records(tmp_path / "run")[0]["preconditioning"] == "VE(sigma_min=0.02, sigma_max=100.0)"
    with pytest.raises(SystemExit):
        # The run has a configuration, which tells of the change first.
        run_fit(arguments(tmp_path / "run", trainer__max_epochs=2, **levels))


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"model__noise": "LogUnifrom"}, "model.noise = LogUnifrom: unknown class"),
        (
            {"model__noise": "LogUniform", "model__noise__sigma_min": -1},
            "model.noise.sigma_min = -1.0: must be > 0, and below sigma_max = 100.0",
        ),
        ({"model__preconditioning": "VE"}, "loop.sampling.sigma_min = 0.002: must lie in 0.02"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, capsys, chosen, said):
    with pytest.raises(SystemExit) as left:
        run_fit(arguments(tmp_path / "run", **chosen))
    err = capsys.readouterr().err
    assert left.value.code == 2 and said in err and len(err.splitlines()) == 1


MINE = """
from dataclasses import dataclass
from lightning_collapse import NoiseLevels, Preconditioning


@dataclass(frozen=True)
class Plain(Preconditioning):
    scale: float = 2.0

    def scales(self, sigma):
        return 1.0, self.scale * sigma, (1 + sigma.square()).rsqrt()

    def c_noise(self, sigma):
        return sigma.log() / 4


@dataclass(frozen=True)
class Thirds(NoiseLevels):
    def ln_quantile(self, share):
        return 9 * share - 6
"""


def test_ones_own_work_by_their_paths(tmp_path, monkeypatch, capsys):
    (tmp_path / "scaling_of_a_test.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    names = [f"scaling_of_a_test.{name}" for name in ("Plain", "Thirds")]
    chosen = {"model__preconditioning": names[0], "model__noise": names[1]}
    options = {"model__preconditioning__scale": 3.0, "loop__sampling__sigma_min": 0.01}
    run = tmp_path / "run"
    levels = {"loop__sampling__sigma_max": 20.0}
    run_fit(arguments(run, **chosen, **options, **levels, trainer__max_epochs=1))
    assert records(run)[0]["preconditioning"] == "Plain(scale=3.0)"
    line = f"--ckpt {last(run)} --seeds 0-3 --format store --sigma_min 0.01 --sigma_max 20"
    words = [*line.split(), "--out", str(tmp_path / "out"), "--device", "cpu"]
    with pytest.raises(SystemExit):
        generate_module.main(words)
    assert f"preconditioning = {names[0]}: is none of EDM, VP, VE" in capsys.readouterr().err
    generate_module.main([*words, "--trust_class", ",".join(names)])
    loaded = load_denoiser(last(run), trust_class=names[0] + "," + names[1])
    assert loaded.preconditioning.scale == 3.0 and loaded.sigma_min == pytest.approx(math.exp(-6))
    recipe = json.loads((tmp_path / "out" / "recipe.json").read_text())
    assert recipe["sampling"]["sigma_max"] == 20
    del sys.modules["scaling_of_a_test"]
