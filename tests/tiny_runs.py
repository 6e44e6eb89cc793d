"""The smallest runs there are, assembled as the CLI does it, and what two runs must share."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from pytorch_lightning import Callback, Trainer

from lightning_collapse import Replace, SigmaMLP, ddpmpp
from lightning_collapse.data.sources.images import Digits
from lightning_collapse.data.sources.points import Mixture
from lightning_collapse.lit import round as round_module
from lightning_collapse.lit.assemble import assemble
from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.lit.loop import GenerationLoop
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.processes import gather
from lightning_collapse.samples import rounds as sampler
from lightning_collapse.sampling.choice import Sampling

POINTS = {"source": Mixture(64), "train_rows": 48, "held_out_rows": 16}
DIGITS = {"source": Digits(), "train_rows": 48, "held_out_rows": 16}
STEPS, BATCH = 4, 16
FULL = namedtuple("Usage", "total used free")(10**12, 10**12, 0)


def mlp(**options: Any) -> SigmaMLP:
    return SigmaMLP(2, width=16, depth=1, **options)


def unet(**options: Any) -> torch.nn.Module:
    tiny = {"model_channels": 8, "channel_mult": (1,), "num_blocks": 1, "attn_resolutions": ()}
    return ddpmpp(8, 1, **tiny, **options)


class Fit:
    """One `fit` of a run in `folder`, and its parts, to look into."""

    def __init__(
        self,
        folder: Path,
        *,
        rounds: int = 2,
        network: torch.nn.Module | None = None,
        data: dict[str, Any] | None = None,
        loop: type[GenerationLoop] = GenerationLoop,
        checkpoint_every: int = 2,
        callbacks: Sequence[Callback] = (),
        trainer: dict[str, Any] | None = None,
        plugins: Sequence[Any] = (),
        options: dict[str, Any] | None = None,
        **module: Any,
    ) -> None:
        self.folder = folder
        self.data = PoolDataModule(
            **{
                **POINTS,
                "regime": Replace(),
                "images_per_round": STEPS * BATCH,
                "batch_size": BATCH,
                "run": folder,
                **(data or {}),
            }
        )
        self.module = CollapseModule(network or mlp(), **module)
        self.loop = loop(
            **{
                "sampling": Sampling(num_steps=4),
                "micro_batch": 8,
                "checkpoint_every": checkpoint_every,
                **(options or {}),
            }
        )
        self.trainer = assemble(
            self.loop,
            max_epochs=rounds,
            accelerator="cpu",
            callbacks=[*callbacks],
            plugins=[*plugins],
            **{"logger": False, **(trainer or {})},
        )

    def __call__(self) -> "Fit":
        last = self.folder / "checkpoints" / "last.ckpt"
        self.trainer.fit(self.module, self.data, ckpt_path=last if last.exists() else None)
        return self

    @property
    def records(self) -> list[dict[str, Any]]:
        return records(self.folder)


class At(Callback):
    """Calls `act(trainer)` at one hook of one step of one round; comes after the loop."""

    def __init__(self, hook: str, round: int, step: int | None, act: Any) -> None:
        def at(trainer: Trainer, *args: Any) -> None:
            data: Any = trainer.datamodule
            if trainer.current_epoch == round and step in (None, data.step):
                act(trainer)

        setattr(self, hook, at)


def with_ending(**functions: Any) -> type[GenerationLoop]:
    """A loop whose rounds end by these functions in the place of those in `lit.round`.

    Each is called with what it replaces first.
    """

    class Ending(GenerationLoop):
        def _finish(self, *args: Any) -> None:
            plain = {name: getattr(round_module, name) for name in functions}
            patched = {name: partial(functions[name], plain[name]) for name in functions}
            with patch.multiple(round_module, **patched):
                super()._finish(*args)

    return Ending


class CrashError(Exception):
    """What the tests raise to interrupt a run."""


def crash(*_: Any) -> None:
    raise CrashError


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]


def warned(err: str) -> list[str]:
    """The lines on standard error but that which tells where a run starts."""
    starts = ("started: ", "goes on from ")
    return [line for line in err.splitlines() if not line.startswith(starts)]


def without_seconds(record: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what differs between two starts of the same run: how long it took, and where."""
    return {
        name: value
        for name, value in record.items()
        if name != "host" and not name.startswith("seconds_")
    }


def outcome(run: Path) -> dict[str, Any]:
    """All that two runs must share to be the same run: weights, optimizer, pool and records."""
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    last["round_progress"].pop("seconds")
    kept = ("state_dict", "optimizer_states", "round_progress", "PoolDataModule")
    pool = {
        str(path.relative_to(run)): _content(path) for path in sorted((run / "pool").rglob("*.*"))
    }
    rounds = [without_seconds(record) for record in records(run)]
    return {**{name: last[name] for name in kept}, "pool": pool, "rounds": rounds}


def outcome_of_script(run: Path) -> dict[str, Any]:
    """The same but for the configuration, of which a script's run has none."""
    made = outcome(run)
    manifests = [part for name, part in made["pool"].items() if name.endswith("manifest.json")]
    for record in [*made["rounds"], *(part["record"] or {} for part in manifests)]:
        record.pop("config_sha256", None)
    return made


def unshared(run: Path) -> dict[str, Any]:
    """The outcome of a run, but for where round 0 is from."""
    found = outcome(run)
    found["rounds"][0].pop("shared_from", None)
    manifest = found["pool"]["pool/0000/manifest.json"]
    manifest["record"].pop("shared_from", None)
    manifest["recipe"].pop("shared_from", None)
    return found


def _content(path: Path) -> Any:
    if path.name != "manifest.json":
        return path.read_bytes()
    manifest = json.loads(path.read_text())
    del manifest["sha256"]  # of the seconds, too
    return manifest | {"record": manifest["record"] and without_seconds(manifest["record"])}


def assert_same(left: Any, right: Any, where: str = "run") -> None:
    """Compares trees of tensors and plain values bit for bit, and names the first difference."""
    assert type(left) is type(right), where
    if isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for name in left:
            assert_same(left[name], right[name], f"{where}.{name}")
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right), where
        for i, (a, b) in enumerate(zip(left, right, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    else:
        same = torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right
        assert same, where


CONFIGS = Path(__file__).parent.parent / "configs"


def arguments(run: Path, config: str = "points_replace", **changed: Any) -> list[str]:
    """Gives the command line of a tiny run of a shipped configuration, without W&B.

    Args:
        run: the run's folder.
        config: name of the configuration.
        changed: further options, with `__` for a dot.
    """
    models = {"points_replace": POINTS_MODEL, "digits_components": MLP_MODEL}
    options = {
        "trainer__logger": "false",
        "trainer__accelerator": "cpu",
        "trainer__max_epochs": 2,
        "data__train_rows": 48,
        "data__held_out_rows": 16,
        "data__images_per_round": STEPS * BATCH,
        "data__batch_size": BATCH,
        "loop__micro_batch": 8,
        "loop__checkpoint_every": 2,
        "loop__sampling__num_steps": 4,
        **models.get(config, DIGITS_MODEL),
        **changed,
    }
    pairs = [(f"--{name.replace('__', '.')}", str(value)) for name, value in options.items()]
    named = ["--config", str(CONFIGS / f"{config}.yaml"), "--run", str(run)]
    return [*named, *(word for pair in pairs for word in pair)]


MLP_MODEL = {"model__network__init_args__width": 16, "model__network__init_args__depth": 1}
POINTS_MODEL = {"data__source__init_args__n": 64, **MLP_MODEL}
DIGITS_MODEL = {
    "model__network__init_args__model_channels": 8,
    "model__network__init_args__channel_mult": "[1]",
    "model__network__init_args__attn_resolutions": "[]",
}


class KillAt(Callback):
    """Sends this process a signal in a step, once or n times: KILL_AT=round,step,signal[,n]."""

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        at = os.environ.get("KILL_AT", "-1,-1,0").split(",")
        if [str(trainer.current_epoch), str(batch_idx)] == at[:2]:
            for _ in range(int((at[3:] or ["1"])[0])):
                os.kill(os.getpid(), int(at[2]))


class KillRank0(KillAt):
    """The same, in the first of several processes only."""

    def on_train_batch_start(self, trainer, *args):
        if trainer.is_global_zero:
            super().on_train_batch_start(trainer, *args)


class KillRank1(KillAt):
    """The same, in the second."""

    def on_train_batch_start(self, trainer, *args):
        if trainer.global_rank == 1:
            super().on_train_batch_start(trainer, *args)


class FullOnRank1(Callback):
    """Lets the second process find its disk full from round 1 on."""

    def on_train_epoch_end(self, trainer, *args):
        if trainer.global_rank == 1:
            shutil.disk_usage = lambda path: FULL


class Poison(Callback):
    """Makes points of a batch NaN; all values, or POISON=round,step,rank with * for any."""

    def __init__(self, *steps: tuple[int, int], value: float = math.nan) -> None:
        self.steps, self.value = steps, value

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        here = trainer.current_epoch, batch_idx
        told = os.environ.get("POISON", "-,-,-").split(",")
        named = map(str, (*here, trainer.global_rank))
        if here in self.steps or all(a in (b, "*") for a, b in zip(told, named, strict=True)):
            batch["rows"].fill_(self.value)


class SameWeights(Callback):
    """Fails unless all processes have the same weights after every step."""

    def on_train_batch_end(self, trainer, module, *args):
        flat = torch.cat([value.detach().flatten() for value in module.model.parameters()])
        mine, *others = gather(trainer, flat)
        assert all(torch.equal(mine, other) for other in others)


class LittleMemory(Callback):
    """Has the average, which samples, run out of memory with more than MEMORY=rows[,rank] rows."""

    def setup(self, trainer, module, stage):
        rows, *rank = map(int, os.environ["MEMORY"].split(","))
        if trainer.global_rank in (rank or [trainer.global_rank]):
            module.ema.register_forward_pre_hook(lambda _, given: out_of_memory(given[0], rows))


def out_of_memory(x: torch.Tensor, rows: int) -> None:
    if len(x) > rows:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


class BadSamples(Callback):
    """Makes samples NaN of which the first number is positive, for the rest of this process."""

    def setup(self, trainer, module, stage):
        if sampler._solve is _solve:
            sampler._solve = bad_samples


_solve = sampler._solve


def bad_samples(*args: Any) -> torch.Tensor:
    samples = _solve(*args)
    samples[samples.flatten(1)[:, 0] > 0] = math.nan
    return samples


class Probe(Callback):
    """Saves the first step's loss and gradients to the file that PROBE names."""

    def on_before_optimizer_step(self, trainer, module, optimizer):
        if trainer.global_step == 0:
            self.gradients = {
                name: value.grad.clone() for name, value in module.model.named_parameters()
            }

    def on_train_batch_end(self, trainer, module, *args):
        if trainer.global_step == 1:
            loss = torch.as_tensor(module.mean_loss())
            if trainer.is_global_zero:
                torch.save({"loss": loss, "gradients": self.gradients}, os.environ["PROBE"])


def started(*words: str, **environment: str) -> subprocess.Popen[str]:
    """Starts `python -m lightning_collapse` on one thread, where it finds this module."""
    here = str(Path(__file__).parent)
    inherited = {
        n: v for n, v in os.environ.items() if n not in ("KILL_AT", "PROBE", "POISON", "MEMORY")
    }
    settings = {"OMP_NUM_THREADS": "1", "PYTHONPATH": here, "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(
        [sys.executable, "-m", "lightning_collapse", *words],
        env={**inherited, **settings, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Does the same and waits, also for what it has started: they share the pipes."""
    with started(*words, **environment) as process:
        out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
