"""What cannot work, found out before anything is computed: a Trainer's arguments, the network."""

import json
import re
from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric.plugins.io import TorchCheckpointIO
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import (
    BaseFinetuning,
    BatchSizeFinder,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelPruning,
    StochasticWeightAveraging,
    WeightAveraging,
)
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher

from lightning_collapse.data.sources.imports import import_notes
from lightning_collapse.lit.checkpoint_io import AtomicCheckpointIO
from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.sections import within
from lightning_collapse.lit.signals import callbacks_of
from lightning_collapse.runs.checkpoints import is_sealed
from lightning_collapse.samples.memory import ran_out
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.guide import Guide
from lightning_collapse.sampling.inpainting import Inpainting
from lightning_collapse.sampling.solvers import state_dtype

__all__ = [
    "check_arguments",
    "check_first",
    "check_guide",
    "check_inpainting",
    "check_levels",
    "check_network",
    "check_trainer",
]

_STRATEGIES = (
    "auto",
    "ddp",
    "ddp_find_unused_parameters_false",
    "ddp_find_unused_parameters_true",
)
_PRECISIONS = ("32-true", "32", "bf16-mixed", "bf16", "16-mixed", "16")
_CHOICES = {
    "accelerator": ("auto", "cpu", "gpu", "cuda", "mps", "tpu", "hpu"),
    "deterministic": ("true", "false", "warn"),
    "gradient_clip_algorithm": ("norm", "value"),
    "profiler": ("simple", "advanced", "pytorch", "xla"),
}
_COUNTS = ("accumulate_grad_batches", "num_nodes")
_SHARES = ("limit_val_batches", "limit_test_batches", "limit_predict_batches")
_TIME = r"(\d+:){3}\d+"
_FORMS = {
    "max_time": (_TIME, "DD:HH:MM:SS"),
    "val_check_interval": (rf"\d+|0?\.\d+|1\.0|{_TIME}", "a count, a share, or DD:HH:MM:SS"),
    "devices": (
        r"auto|-1|[1-9]\d*|\d+(, *\d*)+|\[\d+(, *\d+)*\]",
        "auto, how many, or which, such as [0, 1]",
    ),
}

# What would end an epoch elsewhere than at a round's end, and what to use instead.
_BREAKING = {
    "fast_dev_run": "data.images_per_round",
    "overfit_batches": "data.train_rows",
    "limit_train_batches": "data.images_per_round",
    "max_steps": "data.images_per_round and trainer.max_epochs",
    # Before the one that it sets.
    "min_steps": "data.images_per_round",
    "min_epochs": "trainer.max_epochs",
    "reload_dataloaders_every_n_epochs": "data.regime",
}
# What it does, and what to use instead.
_MEDDLING: dict[type[Callback], str] = {
    WeightAveraging: "saves its average in the place of the weights; use model.ema_halflife",
    StochasticWeightAveraging: (
        "replaces the weights and the learning rate; use model.ema_halflife"
    ),
    LearningRateFinder: "trains to find a learning rate; use model.optimizer",
    BatchSizeFinder: "trains to find a batch size; use data.batch_size",
    GradientAccumulationScheduler: (
        "changes the accumulation between rounds; use trainer.accumulate_grad_batches"
    ),
    BaseFinetuning: "freezes weights, and thaws them in rounds to come; leave it out",
    ModelPruning: "sets weights to zero; leave it out",
}


def check_arguments(given: Mapping[str, Any]) -> None:
    """Raises ValueError for arguments of a Trainer, `strategy` by name, that break the rounds."""
    for name, instead in _BREAKING.items():
        if not _is_off(name, value := given.get(name)):
            raise ValueError(f"trainer.{name} = {value}: would break the rounds; use {instead}")
    rounds = given.get("max_epochs")
    if rounds is None or rounds < 1:
        raise ValueError(f"trainer.max_epochs = {rounds}: must be at least 1 round")
    precision, strategy = given.get("precision"), given.get("strategy")
    if precision is not None and str(precision) not in _PRECISIONS:
        raise ValueError(
            f"trainer.precision = {precision}: must be one of {', '.join(_PRECISIONS)}; "
            "noise and preconditioning are in float32"
        )
    for name, choices in _CHOICES.items():
        value = given.get(name)
        if isinstance(value, str) and value not in choices and not _is_path(value):
            raise ValueError(f"trainer.{name} = {value}: must be one of {', '.join(choices)}")
    for name in _COUNTS:
        value = given.get(name)
        if value is not None and value < 1:
            raise ValueError(f"trainer.{name} = {value}: must be at least 1")
    for name in _SHARES:
        value = given.get(name)
        if value is not None and (value < 0 or (value > 1 and isinstance(value, float))):
            raise ValueError(f"trainer.{name} = {value}: must be a count, or a share in [0, 1]")
    for name, (form, told) in _FORMS.items():
        value = given.get(name)
        if isinstance(value, (str, int, float, list)) and not re.fullmatch(form, str(value)):
            raise ValueError(f"trainer.{name} = {value}: must be {told}")
    if isinstance(strategy, str) and strategy not in _STRATEGIES:
        raise ValueError(
            f"trainer.strategy = {strategy}: must be one of {', '.join(_STRATEGIES)}; "
            "every process holds the whole network, and is started as a command"
        )


def _is_path(value: str) -> bool:
    """Whether it names a class with its module."""
    return "." in value and all(part.isidentifier() for part in value.split("."))


def _is_off(name: str, value: Any) -> bool:
    if name == "limit_train_batches":
        # 1.0 is all of them, and 1 is one.
        return value is None or (isinstance(value, float) and value == 1.0)
    return value in (None, -1 if name == "max_steps" else 0)


def check_trainer(trainer: Trainer) -> None:
    """Raises ValueError for a Trainer, of whoever's, under which an epoch would not be a round."""
    given = {name: getattr(trainer, name) for name in (*_BREAKING, "max_epochs", "precision")}
    check_arguments({**given, "strategy": _strategy(trainer)})
    for kind, fault in _MEDDLING.items():
        for callback in callbacks_of(trainer, kind):
            raise ValueError(f"trainer.callbacks = {type(callback).__name__}: {fault}")
    writer = trainer.strategy.checkpoint_io
    if type(writer) not in (TorchCheckpointIO, AtomicCheckpointIO):
        raise ValueError(
            f"trainer.plugins = {type(writer).__name__}: must leave checkpoints to "
            "GenerationLoop, which writes them whole or not at all"
        )


def _strategy(trainer: Trainer) -> str:
    strategy = trainer.strategy
    if isinstance(strategy.launcher, _MultiProcessingLauncher):
        return f"{type(strategy).__name__}, which forks or spawns"
    # By its own class: others derive from these, such as DeepSpeed's.
    known = {SingleDeviceStrategy: "auto", DDPStrategy: "ddp"}
    return known.get(type(strategy), type(strategy).__name__)


@torch.no_grad()
def check_network(module: CollapseModule, data: PoolDataModule) -> None:
    """Raises ValueError where the network does not fit the data, on two rows of its shape."""
    shape = data.row_shape
    if module.label_dim:
        _check_labels(module.label_dim, data)
    # A U-Net takes images of any side, but is made for one.
    fits = module.model.row_shape in (None, shape)
    # Where the weights are: in `setup`, `module.device` is where they will go.
    two = torch.zeros(2, *shape, device=next(module.ema.parameters()).device)
    try:
        fits = fits and module.ema(two, two.new_ones(2)).shape[1:] == shape
    except Exception as error:  # of a class that anyone may have written
        if ran_out(error):
            raise
        if not isinstance(error, RuntimeError):
            raise ValueError(
                "model.network: cannot be called as F(x, c_noise, class_labels, augment_labels) "
                f"({error!r:.200}); wrap it in a module that can"
            ) from error
        fits = False
    if not fits:
        raise ValueError(
            f"model.network: does not take rows of shape {shape}, which {data.source} gives; "
            "set its resolution and channels, or its dim, to that shape"
        )
    # For its checkpoints, of a network that does not tell.
    module.model.row_shape = module.ema.row_shape = shape


def check_levels(module: CollapseModule, sampling: Sampling) -> None:
    """Raises ValueError for a sampler that asks at levels where the network means nothing."""
    lowest, highest = module.model.sigma_min, module.model.sigma_max
    for name, value in (("sigma_min", sampling.sigma_min), ("sigma_max", sampling.sigma_max)):
        if not lowest <= value <= highest:
            raise ValueError(
                f"loop.sampling.{name} = {value}: must lie in {lowest:g}..{highest:g}, the noise "
                "levels of model.preconditioning and model.noise"
            )


@torch.no_grad()
def check_guide(guide: Guide | None, module: CollapseModule, shape: tuple[int, ...]) -> None:
    """Raises ValueError for a guide that cannot guide the network, or not as rounds restart it.

    It is tried on two rows: an own one may be wrong in any way.
    """
    if guide is None:
        return
    named = f"loop.guide = {type(guide).__name__}"
    try:
        guide.check(module.model.model, module.restart)
    except ValueError as error:
        raise ValueError(f"{named}: {error}") from error
    device = next(module.ema.parameters()).device
    two = torch.zeros(2, *shape, device=device, dtype=state_dtype(device))
    labels = torch.zeros(2, dtype=torch.int64, device=device) if module.label_dim else None
    try:
        json.dumps(guide.described(), allow_nan=False)
        made = guide(module.ema, module.ema if guide.needs_first else None)
        found = tuple(made(two, two.new_tensor(1.0), labels).shape)
    except Exception as error:  # of a class that anyone may have written
        if ran_out(error):
            raise
        raise ValueError(f"{named}: cannot guide the network ({error!r:.200})") from error
    if found != two.shape:
        raise ValueError(
            f"{named}: makes {list(found)} of rows {list(two.shape)}; a denoiser keeps their shape"
        )


def check_inpainting(inpaint: Inpainting | None, sampling: Sampling, data: PoolDataModule) -> None:
    """Raises ValueError where no rows are set apart to complete, or the sampler cannot."""
    if inpaint is None:
        return
    if not len(data.set_apart):
        raise ValueError(
            "loop.inpaint: needs real rows that are neither trained on nor held out; lower "
            f"data.train_rows or data.held_out_rows, now {len(data.train)} and "
            f"{len(data.held_out)} of all"
        )
    if data.swap is not None:
        raise ValueError(
            f"data.swap = {data.swap}: cannot be used with loop.inpaint, whose rows it would swap"
        )
    with within("loop.inpaint"):
        inpaint.check(sampling, data.row_shape)


def check_first(guide: Guide | None, data: PoolDataModule) -> None:
    """Raises ValueError where a guide's second network, that of round 0, is not there."""
    path = data.run.checkpoint(0)
    if guide is not None and guide.needs_first and data.round > 0 and not is_sealed(path):
        fault = "damaged" if path.exists() else "gone"
        raise ValueError(
            f"loop.guide = {type(guide).__name__}: needs the network of round 0, but {path} is "
            f"{fault}; restore that file, or start again in another --run"
        )


def _check_labels(label_dim: int, data: PoolDataModule) -> None:
    labels = data.train.labels
    if labels is None:
        notes = "".join(f" ({note:.300})" for note in import_notes(data.run.real_rows.recipe))
        raise ValueError(
            f"model.network: is conditioned on {label_dim} classes, but the rows of "
            f"{data.source} have no labels{notes}; set label_dim to 0 or choose another "
            "data.source"
        )
    if labels.max() >= label_dim:
        raise ValueError(
            f"model.network: label_dim = {label_dim}, but the rows of {data.source} have labels "
            f"up to {int(labels.max())}; set label_dim to {int(labels.max()) + 1}"
        )
