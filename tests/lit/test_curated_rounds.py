"""Curators in `fit`: what they keep is trained on and recorded, also after an interruption."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tiny_runs import (
    BATCH,
    DIGITS,
    POINTS,
    STEPS,
    At,
    CrashError,
    Fit,
    arguments,
    assert_same,
    command,
    crash,
    outcome,
    records,
    unet,
)

from lightning_collapse import (
    Accumulate,
    Augment,
    ByDensity,
    ByDiscriminator,
    ByEntropy,
    Curator,
    RealWeight,
    Replace,
    Turnover,
)
from lightning_collapse.commands.fit import run_fit
from lightning_collapse.commands.measure import main as measure
from lightning_collapse.lit.telling import RunError

N = POINTS["train_rows"]
ALL = [ByEntropy(0.5), ByDensity(0.5), ByDiscriminator(0.5), RealWeight()]


@dataclass(frozen=True)
class Same(Curator):
    """Every sample weighs as much."""

    weight: float = 3.0

    def weights(self, offer):
        return torch.full((len(offer.samples),), self.weight)


@dataclass(frozen=True)
class Left(Curator):
    """Keeps the samples on the left."""

    def weights(self, offer):
        return (offer.samples[:, 0] < 0).double()


@dataclass(frozen=True)
class Heavy(Curator):
    """Samples on the left weigh three times as much."""

    def weights(self, offer):
        return 1 + 2 * (offer.samples[:, 0] < 0).double()


@dataclass(frozen=True)
class Bad(Curator):
    """Gives what it is told to."""

    gives: str

    def weights(self, offer):
        n = len(offer.samples)
        if self.gives == "error":
            raise KeyError("lost")
        few = torch.zeros(n)
        few[0] = 1
        bad = {"nan": torch.full((n,), torch.nan), "short": torch.ones(n - 1), "few": few}
        return {**bad, "negative": -torch.ones(n)}[self.gives]


def curated(folder, curator, regime=Augment(1.0), **options):  # noqa: B008 - frozen
    return Fit(folder, data={"curator": curator, "regime": regime}, **options)


@pytest.mark.parametrize("curator", ALL, ids=repr)
def test_a_curated_run_goes_on_bit_for_bit(tmp_path, curator):
    torch.set_num_threads(1)
    curated(tmp_path / "a", curator)()
    for at in [("on_train_batch_end", 1, 3), ("on_train_batch_end", 1, STEPS)]:
        with pytest.raises(CrashError):
            curated(tmp_path / "b", curator, callbacks=[At(*at, crash)])()
    curated(tmp_path / "b", curator)()
    assert_same(outcome(tmp_path / "a"), outcome(tmp_path / "b"))


@pytest.mark.parametrize("curator", ALL, ids=repr)
def test_its_choice_and_cost_are_in_the_record(tmp_path, curator):
    first, second = curated(tmp_path, curator)().records
    assert first["curator"] == second["curator"] == type(curator).__name__
    assert second["curator_options"] == curator.options
    assert (first["n_offered"], first["n_synthetic"], first["mean_weight"]) == (0, 0, None)
    assert (second["n_offered"], second["n_real"]) == (N, N)
    assert second["n_synthetic"] == curator.keeps(N)
    golden = (1 - 0.618034) / 0.618034
    expected = golden if isinstance(curator, RealWeight) else 1
    assert second["mean_weight"] == pytest.approx(expected, rel=1e-5)
    assert second["seconds_curate"] >= 0
    # Equal compute: a round sees as many rows whatever is left out.
    assert second["images_seen"] == STEPS * BATCH


def test_what_is_left_out_is_not_trained_on(tmp_path):
    """And what is kept, all of it is."""
    seen = []
    watch = At("on_train_batch_start", 1, None, lambda *_: None)

    def note(trainer, module, batch, index):
        if trainer.current_epoch == 1:
            seen.append(batch["rows"].clone())

    watch.on_train_batch_start = note
    fit = curated(tmp_path, Left(), Replace(), callbacks=[watch])()
    samples = fit.data.generations[0][torch.arange(N)]
    wanted = {tuple(row) for row in samples.tolist() if row[0] < 0}
    rows = torch.cat(seen)
    assert (rows[:, 0] < 0).all()
    assert {tuple(row) for row in rows.tolist()} <= wanted
    assert fit.records[1]["n_synthetic"] == len(wanted) >= 2
    assert fit.records[1]["n_offered"] == N


def test_each_row_comes_with_its_own_weight(tmp_path):
    seen = []
    watch = At("on_train_batch_start", 1, None, lambda *_: None)

    def note(trainer, module, batch, index):
        if trainer.current_epoch == 1:
            seen.append((batch["rows"][:, 0] < 0, batch["weights"]))

    watch.on_train_batch_start = note
    curated(tmp_path, Heavy(), Replace(), callbacks=[watch])()
    left, weights = (torch.cat(parts) for parts in zip(*seen, strict=True))
    assert weights.dtype == torch.float32
    (heavy,), (light,) = (set(weights[side].tolist()) for side in (left, ~left))
    assert heavy == pytest.approx(3 * light)
    # 64 rows are seen of 48: one pass has mean 1.
    assert weights[:48].mean() == pytest.approx(1, rel=1e-5)


def test_equal_weights_change_nothing(tmp_path):
    curated(tmp_path / "a", Same(), Replace())()
    Fit(tmp_path / "b")()
    a, b = outcome(tmp_path / "a"), outcome(tmp_path / "b")
    assert_same(a["state_dict"], b["state_dict"])
    samples = [name for name in b["pool"] if name.endswith(".npy")]
    assert_same({name: a["pool"][name] for name in samples}, {n: b["pool"][n] for n in samples})


def test_weights_are_in_the_loss(tmp_path):
    """Linearly, row by row; with weights of 1 to the last bit as without."""
    losses = {}

    def look(trainer, module, batch, index):
        rows, n = batch["rows"], len(batch["rows"])

        def loss(weights):
            return module.training_step({"rows": rows, "weights": weights}, 0).item()

        losses["plain"] = module.training_step({"rows": rows}, 0).item()
        losses["even"], losses["mixed"] = loss(torch.ones(n)), loss(torch.arange(n).float())
        losses["parts"] = [loss((torch.arange(n) == i).float()) for i in range(n)]

    watch = At("on_train_batch_start", 0, 0, lambda *_: None)
    watch.on_train_batch_start = look
    Fit(tmp_path, rounds=1, callbacks=[watch])()
    assert losses["even"] == losses["plain"]
    assert sum(losses["parts"]) == pytest.approx(losses["plain"], rel=1e-5)
    weighted = sum(i * part for i, part in enumerate(losses["parts"]))
    assert losses["mixed"] == pytest.approx(weighted, rel=1e-5)


@pytest.mark.parametrize("regime", [Accumulate(), Turnover(0.5)], ids=repr)
def test_a_curator_serves_every_regime(tmp_path, regime):
    told = curated(tmp_path, ByDensity(0.5, "random"), regime, rounds=3)().records
    for r, record in enumerate(told):
        if isinstance(regime, Accumulate):
            assert (record["n_real"], record["n_offered"]) == (N, r * N)
        else:
            assert record["n_real"] + record["n_offered"] == N
        assert record["n_synthetic"] == round(0.5 * record["n_offered"])


@pytest.mark.parametrize("curator", ALL, ids=repr)
def test_a_curator_serves_images(tmp_path, curator):
    options = {**DIGITS, "curator": curator, "regime": Augment(1.0)}
    second = Fit(tmp_path, data=options, network=unet())().records[1]
    assert second["n_synthetic"] == curator.keeps(second["n_offered"])


def test_of_the_command_line_and_by_a_class_path(tmp_path, capsys):
    folder = tmp_path / "run"
    words = arguments(folder, data__curator="test_curated_rounds.Left")
    run_fit(words)
    one = records(folder)[1]
    assert (one["curator"], one["curator_options"]) == ("Left", {})
    measure([str(folder), "--measures", '["Copying"]'])
    # Which rows were kept is not known any more.
    said = records(folder)[1]["cautions"]["authenticity_points"]
    assert said == "beside real training rows; what was trained on is unknown"
    with pytest.raises(SystemExit):
        run_fit(arguments(folder, data__curator="ByEntropy"))
    assert "data.curator" in "".join(capsys.readouterr())
    short = arguments(tmp_path / "short", data__curator="ByDensity")
    run_fit([*short, "--data.curator.keep", "0.25", "--data.curator.order", "top"])
    assert records(tmp_path / "short")[1]["n_synthetic"] == 12


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ByDensity", "--data.curator.keep=0.02"], "keeps 1 of the 48 samples that round 1 may"),
        (["ByEntropy", "--data.curator.keep=0"], "data.curator.keep = 0.0: must be a share in"),
        (["ByDensity", "--data.curator.order=best"], "data.curator.order = best: "),
        (["RealWeight", "--data.curator.weight=1"], "data.curator.weight = 1.0: must be a share"),
        (["ByDensty"], "data.curator = ByDensty: "),
    ],
)
def test_a_wrong_one_is_one_line_before_compute(tmp_path, capsys, words, said):
    with pytest.raises(SystemExit) as end:
        run_fit([*arguments(tmp_path / "run"), "--data.curator", *words])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1, err
    assert said in err
    assert not list(Path(tmp_path).rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        ("nan", "must give 48 finite weights >= 0"),
        ("negative", "must give 48 finite weights >= 0"),
        ("short", "must give 48 finite weights >= 0"),
        ("few", "keeps 1 of the 48 samples that round 1 may train on; must keep at least 2"),
        ("error", r"KeyError\('lost'\) in test_curated_rounds.py, line"),
    ],
)
def test_what_a_users_own_gets_wrong_is_told(tmp_path, gives, said):
    with pytest.raises(RunError, match=said) as caught:
        curated(tmp_path, Bad(gives))()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("data.curator = ")


@pytest.mark.ddp
@pytest.mark.slow
def test_two_processes_choose_and_weigh_as_one_does(tmp_path):
    told = {}
    for devices in (1, 2):
        regime = {"data__regime": "Augment", "data__regime__ratio": 1.0}
        words = arguments(tmp_path / str(devices), **regime, data__curator="RealWeight")
        done = command("fit", *words, f"--trainer.devices={devices}", "--trainer.strategy=ddp")
        assert done.returncode == 0, done.stderr
        told[devices] = records(tmp_path / str(devices))[1]
    one, two = told[1], told[2]
    assert two["mean_weight"] == one["mean_weight"]
    assert two["train_loss"] == pytest.approx(one["train_loss"], rel=1e-4)
    assert two["val_loss"] == pytest.approx(one["val_loss"], rel=1e-3)
