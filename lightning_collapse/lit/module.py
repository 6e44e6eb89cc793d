"""The LightningModule: EDM training of one network, round after round, with its moving average.

Training noise is drawn for the global batch from (seed, round, step) and sliced by process; only
dropout differs between processes. Learning-rate ramp and averaging are counted in images of the
round, so that a short retraining is averaged as it should be.
"""

import copy
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor, nn

from lightning_collapse.lit.data import Batch, PoolDataModule, data_of
from lightning_collapse.lit.processes import gather
from lightning_collapse.lit.sections import within
from lightning_collapse.lit.steps import (
    RoundProgress,
    bad_gradient,
    fuse_on_cpu,
    poisoned,
    seeks_scale,
)
from lightning_collapse.lit.telling import RunError, warn
from lightning_collapse.networks.augment import AugmentPipe
from lightning_collapse.networks.course import ema_decay, rate_factor
from lightning_collapse.networks.edm import DenoisingLoss
from lightning_collapse.networks.initial import randomise
from lightning_collapse.networks.network import describe
from lightning_collapse.networks.noise import NoiseLevels
from lightning_collapse.networks.preconditioning import Preconditioning
from lightning_collapse.networks.trained_for import TrainedFor
from lightning_collapse.rows import network_units
from lightning_collapse.runs.checkpoints import read_checkpoint
from lightning_collapse.runs.denoiser import average_of, model_of, remade, settings_of
from lightning_collapse.runs.restoring import check_checkpoint, check_training, check_weights
from lightning_collapse.runs.weights import file_sha256, load_weights, not_finite
from lightning_collapse.seeds import generator, key, seed_default

__all__ = ["CollapseModule", "Restart"]

Restart = Literal["scratch", "warm", "initial"]

_MOST_WARNINGS = 20
_DIVERGED = (
    "the rounds before, and what was last saved, are intact; in another --run lower the "
    "optimizer's lr, set trainer.gradient_clip_val, or inspect the data"
)


def _adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-3)


class CollapseModule(LightningModule):
    """A denoiser `model`, its exponential moving average `ema`, and how a round trains them."""

    def __init__(
        self,
        network: nn.Module,
        sigma_data: float = 0.5,
        P_mean: float = -1.2,
        P_std: float = 1.2,
        preconditioning: Preconditioning | None = None,
        noise: NoiseLevels | None = None,
        augment: AugmentPipe | None = None,
        optimizer: OptimizerCallable = _adam,
        restart: Restart = "scratch",
        init_from: Path | None = None,
        lr_rampup: float = 0.05,
        ema_halflife: int | None = None,
        ema_rampup: float = 0.05,
        max_skipped_steps: int = 10,
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        """Wraps a network.

        Args:
            network: the raw network F, as `Network` says; its weights are drawn anew, keyed by
                the seed, through its layers' `reset_parameters`.
            sigma_data: standard deviation of the data, in network units (Karras et al., Table 1).
            P_mean: mean of ln sigma in training.
            P_std: standard deviation of ln sigma in training.
            preconditioning: what makes a denoiser of the network; default: EDM's, of sigma_data.
            noise: distribution of the noise levels in training; default: log-normal, of P_mean
                and P_std.
            augment: augmentation of the training images, if any.
            optimizer: makes the optimizer from the parameters, anew in every round.
            restart: where a round's weights start from: `scratch`, a new random network;
                `warm`, the network that sampled the last round (its average); `initial`, the
                weights that round 0 started from.
            init_from: weights that round 0 starts from: a .safetensors file, or a checkpoint of
                another run, whose average is taken. Default: a random network.
            lr_rampup: share of a round's images over which the learning rate rises from 0.
            ema_halflife: longest half-life of the average, in images; default: no limit.
            ema_rampup: half-life of the average as a share of the round's images so far.
            max_skipped_steps: optimizer steps of a round that may be skipped since their loss or
                gradient is not finite; at one more the run stops.
            compile: train by `torch.compile`, which takes a minute at first and changes last bits;
                the average, which makes samples, is not, so that they can be made again anywhere.
            seed: keys weights, noise and dropout.

        Raises:
            ValueError: an option is out of its range or contradicts another.
        """
        super().__init__()
        self._optimizer, self.augment = optimizer, augment
        self.restart, self.init_from, self.seed = restart, init_from, seed
        self.lr_rampup, self.ema_halflife, self.ema_rampup = lr_rampup, ema_halflife, ema_rampup
        self.max_skipped_steps = max_skipped_steps
        self._check_options()
        with within("model"):
            self.trained_for = TrainedFor.chosen(sigma_data, P_mean, P_std, preconditioning, noise)
            self._init_sha256 = None if init_from is None else file_sha256(init_from)
        self.loss = DenoisingLoss(**vars(self.trained_for))
        self.model = self.trained_for.wrap(network)
        if augment is not None:
            _check_told(self.model.augment_dim, augment)
        self._start_from("init", 0)
        self.ema = copy.deepcopy(self.model).eval().requires_grad_(False)
        if compile:
            self.model.compile()
        self.progress = RoundProgress()
        self._made = True
        self.in_loop = False

    def setup(self, stage: str) -> None:
        """Raises ValueError without `GenerationLoop`, which sets `in_loop`: no round would end."""
        if stage == "fit" and not self.in_loop:
            raise ValueError("trainer.callbacks: must have a GenerationLoop, which ends rounds")

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | Path,
        map_location: torch.device | str | None = None,
        *,
        network: nn.Module | None = None,
        trust_class: str | None = None,
        **options: Any,
    ) -> "CollapseModule":
        """Gives back the module of a checkpoint, with its weights and their average.

        Args:
            checkpoint_path: the file, of any Trainer; it is read as tensors and plain values.
            map_location: device to put the module on; default: the CPU.
            network: one like the checkpoint's, if that cannot describe its own.
            trust_class: class of the network, such as `mine.Net`, if it is not of this package:
                it is imported, and called with the arguments that the checkpoint names.
            options: other arguments of the constructor than `preconditioning` and `noise`, and
                their `sigma_data`, `P_mean` and `P_std`, which are the checkpoint's.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no such checkpoint, or its network cannot be made.
        """
        path = Path(checkpoint_path)
        checkpoint = read_checkpoint(path, sealed=False)
        model = model_of(checkpoint, path)
        if network is None:
            # Copies: the module draws weights in place before it is given those of the file.
            average = average_of(checkpoint, path)
            weights = {name: value.clone() for name, value in average.items()}
            network = remade(model, weights, path, trust_class).model
        training, row_shape = settings_of(model, path, trust_class)
        module = cls(network, **(vars(training) | options))
        check_weights(checkpoint, module, path)
        module.load_state_dict(checkpoint["state_dict"])
        for denoiser in (module.model, module.ema):
            denoiser.row_shape = denoiser.row_shape or row_shape
        return module.to(map_location or "cpu")

    def _check_options(self) -> None:
        if (most := self.max_skipped_steps) < 0:
            raise ValueError(f"model.max_skipped_steps = {most}: must be at least 0")
        if self.restart == "scratch" and self.init_from is not None:
            raise ValueError(
                f"model.init_from = {self.init_from}: has no effect with model.restart = scratch; "
                "use warm or initial"
            )
        for name in ("lr_rampup", "ema_rampup"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"model.{name} = {value}: must be a share in [0, 1]")
        if (halflife := self.ema_halflife) is not None and halflife < 1:
            raise ValueError(f"model.ema_halflife = {halflife}: must be at least 1 image")

    @property
    def label_dim(self) -> int:
        """Number of classes the network is conditioned on; 0 for none."""
        return self.model.label_dim

    def _start_from(self, *path: int | str) -> None:
        """Gives `model` the weights of the file, or random ones keyed by the path."""
        if self.init_from is not None:
            with within("model"):
                load_weights(self.model, self.init_from)
        else:
            randomise(self.model, key(self.seed, *path))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        try:
            optimizer = self._optimizer(self.model.parameters())
        except ValueError as error:
            raise ValueError(f"model.optimizer: {error}; give another value") from error
        for group in optimizer.param_groups:
            # Written so that NaN fails too; the weights are float32.
            if not group["lr"] <= torch.finfo(torch.float32).max:
                raise ValueError(f"model.optimizer: lr = {group['lr']}: must fit in float32")
            group["base_lr"] = group["lr"]
        fuse_on_cpu(optimizer)
        return optimizer

    def on_train_start(self) -> None:
        """Lists the parameters: finding them takes as long as a small network's average."""
        self._named = list(self.model.named_parameters())
        self._weights: list[Tensor] = [weight for _, weight in self._named]
        self._averages: list[Tensor] = list(self.ema.parameters())

    def on_train_epoch_start(self) -> None:
        """Starts a round: weights by `restart`, a fresh optimizer."""
        if self.current_epoch > 0:
            self._restart_weights(self.current_epoch)
            self.trainer.strategy.setup_optimizers(self.trainer)
        self.model.train()
        self.ema.eval()
        start = {name: value.detach().cpu().clone() for name, value in self.ema.named_parameters()}
        self.progress = RoundProgress(start=start)

    def _restart_weights(self, round: int) -> None:
        if self.restart == "warm":
            self.model.load_state_dict(self.ema.state_dict())
            return
        self._start_from("init", round if self.restart == "scratch" else 0)
        self.ema.load_state_dict(self.model.state_dict())

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, path = network_units(batch["rows"]), (self.current_epoch, batch_idx)
        n, share = len(x), slice(self.global_rank * len(x), (self.global_rank + 1) * len(x))
        n *= self.trainer.world_size
        augment_labels = None
        if self.augment is not None:
            random = generator(self.seed, "augment", *path, device=self.device)
            draws = self.augment.draw(n, random, self.device)
            x, augment_labels = self.augment(x, draws[share])
        random = generator(self.seed, "noise", *path, device=self.device)
        sigma, noise = self.loss.draw((n, *x.shape[1:]), random, self.device)
        seed_default(key(self.seed, "dropout", *path, self.global_rank), self.device)
        labels = batch["labels"] if self.label_dim else None
        loss = self.loss(self.model, x, sigma[share], noise[share], labels, augment_labels)
        if "weights" in batch:
            # Of mean 1 over the training set, so that the learning rate means the same.
            loss = loss * batch["weights"].reshape(-1, *[1] * (x.ndim - 1))
        self.progress.add_loss(loss.detach().mean())
        return poisoned(loss.sum() / len(x))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        factor = rate_factor(self._images_seen, self.lr_rampup * self._data.images_per_round)
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        bad = bad_gradient(self._named)
        self._made = bad is None
        if bad is not None:
            self._skip(bad)
        self.progress.end_step(self._made)

    def _skip(self, bad: str) -> None:
        """Leaves out a step, in all processes; `bad` is whose gradient is not finite.

        Warns of it; raises RunError for one too many.
        """
        losses_finite = all(gather(self.trainer, self.progress.has_finite_losses()))
        if losses_finite and seeks_scale(self.trainer):
            return
        if getattr(self.trainer.precision_plugin, "scaler", None) is None:
            # The optimizer passes over what has no gradient, and leaves its moments alone.
            self.model.zero_grad()
        self.progress.steps_skipped += 1
        self._check_weights()
        what = f"the gradient of {bad}" if losses_finite else "the loss"
        fault = f"round {self.current_epoch}, step {self._data.step}: {what} is not finite"
        skipped, most = self.progress.steps_skipped, self.max_skipped_steps
        if skipped > most:
            raise RunError(
                f"{fault}, as in {most} steps earlier in the round (model.max_skipped_steps); "
                f"{_DIVERGED}; a higher limit lets this run go on"
            )
        if skipped <= _MOST_WARNINGS or skipped % 100 == 0:
            warn(self.trainer, f"{fault}; step skipped, {skipped} of at most {most} in a round")

    def _check_weights(self) -> None:
        """Raises RunError where the weights are not finite: no later step would make them so."""
        if bad := not_finite(self.state_dict()):
            raise RunError(f"round {self.current_epoch}: {bad} is not finite; {_DIVERGED}")

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        seen = self._images_seen
        super().optimizer_step(*args, **kwargs)
        if not self._made:
            return
        images = self._data.batch_size * self.trainer.accumulate_grad_batches
        beta = ema_decay(seen, images, self.ema_rampup, self.ema_halflife)
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, self._weights, 1 - beta)

    @property
    def _images_seen(self) -> int:
        """Images of the round in all of the optimizer's steps before the current one."""
        accumulated = self.trainer.accumulate_grad_batches
        return self._data.step // accumulated * accumulated * self._data.batch_size

    @property
    def _data(self) -> PoolDataModule:
        return data_of(self.trainer)

    def weights_moved(self) -> float:
        """‖average now - at the round's start‖ / ‖at the round's start‖."""
        moved, norm = 0.0, 0.0
        for name, value in self.ema.named_parameters():
            start = self.progress.start[name].double()
            moved += float((value.detach().cpu().double() - start).square().sum())
            norm += float(start.square().sum())
        return (moved / norm) ** 0.5 if norm else 0.0

    def mean_loss(self) -> float | None:
        """Mean loss of the round's steps that were made, over all processes; None for none.

        All processes must ask.
        """
        sums = gather(self.trainer, float(self.progress.loss_sum))
        steps = self.progress.steps
        return sum(sums) / len(sums) / steps if steps else None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._check_weights()
        # Every process's own sum: adding them up now would round differently from later.
        sums = gather(self.trainer, float(self.progress.loss_sum))
        checkpoint["round_progress"] = self.progress.state_dict() | {"loss_sums": sums}
        checkpoint["init_from_sha256"] = self._init_sha256
        checkpoint["model"] = {
            "network": describe(self.model.model),
            **self.trained_for.described(),
            "row_shape": self.model.row_shape,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        check_checkpoint(checkpoint, self)
        check_training(checkpoint, self.trained_for)
        if checkpoint["init_from_sha256"] != self._init_sha256:
            raise ValueError(
                f"model.init_from = {self.init_from}: the file is not the one that the run was "
                "started with; restore it, or choose another --run"
            )
        progress = dict(checkpoint["round_progress"])
        sums = progress.pop("loss_sums")
        before, now = len(sums), self.trainer.world_size
        same = before == now
        if not same and self.trainer.is_global_zero:
            print(f"continues with {now} process{'es' * (now > 1)}; was started with {before}")
        loss_sum = sums[self.global_rank] if same else sum(sums) / len(sums)
        self.progress = RoundProgress(**progress, loss_sum=loss_sum)


def _check_told(augment_dim: int, augment: AugmentPipe) -> None:
    """Refuses augmentation that the network is not told of: it would show in the samples."""
    if augment_dim != augment.label_dim:
        raise ValueError(
            f"model.network.augment_dim = {augment_dim}: must be {augment.label_dim} with "
            "model.augment, or the network would learn the augmentation"
        )
