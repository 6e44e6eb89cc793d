"""Runs of diffusion on points under several seeds, trained and sampled together.

What `fit` does for one seed after another, without its files: the same real rows, regimes,
weights, batches, noise, samples and measures, keyed alike, so that a replica is the run of its
seed but for rounding. On a CPU a small network spends less time on arithmetic than around it;
several at once share what is around.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from lightning_collapse.curators import Curator
from lightning_collapse.curators.curation import Curated, check_curator, curated
from lightning_collapse.data.sources.source import Source
from lightning_collapse.metrics.families import ALWAYS, DEFAULT
from lightning_collapse.metrics.measure import MEASURED_ROWS, Measure
from lightning_collapse.networks.course import ema_decay, rate_factor
from lightning_collapse.networks.edm import EDMLoss, EDMPrecond
from lightning_collapse.networks.held_out import loss_fields, loss_sums
from lightning_collapse.networks.initial import randomise
from lightning_collapse.networks.mlp import SigmaMLP
from lightning_collapse.networks.stacked import StackedMLP
from lightning_collapse.pool import Pool, Subset, batch_order
from lightning_collapse.regimes import Regime
from lightning_collapse.rows import ReadRows, from_network_units, nonfinite_as_zero
from lightning_collapse.runs.split import samples_of, split
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.guide import Guide
from lightning_collapse.sampling.solvers import Denoiser
from lightning_collapse.seeds import KeyedNormal, generator, key
from lightning_collapse.toys.measured import PointMeasures
from lightning_collapse.toys.training import Training

__all__ = ["Replicas", "StackedRound"]

_STEPS_READ = 16
"""Steps whose rows are read together."""


@dataclass(frozen=True, eq=False)
class StackedRound:
    """What a round has come to.

    Attributes:
        records: of every replica: the fields of a run's record that are not of its machine.
        samples: of every replica (R, n, d).
    """

    records: list[dict[str, Any]]
    samples: Tensor


class _Replica:
    """What one seed has of its own."""

    measured: PointMeasures

    def __init__(self, seed: int, split_seed: int, train: Subset, held_out: Subset) -> None:
        self.seed, self.split_seed = seed, split_seed
        self.train, self.held_out = train, held_out
        self.pool = Pool(train, seed)


class Replicas:
    """R runs on points, each of a seed of its own."""

    def __init__(
        self,
        source: Source,
        regime: Regime,
        network: SigmaMLP,
        seeds: Sequence[int],
        *,
        training: Training = Training(),  # noqa: B008 - frozen
        sampling: Sampling = Sampling(),  # noqa: B008 - frozen
        train_rows: int | None = None,
        held_out_rows: int | None = None,
        samples_per_round: int | None = None,
        split_seeds: Sequence[int] | None = None,
        micro_batch: int = 256,
        measures: Sequence[Measure] = (*ALWAYS, *DEFAULT),
        guide: Guide | None = None,
        curator: Curator | None = None,
    ) -> None:
        """Reads the real rows and measures their floors.

        Args:
            source: of real points.
            regime: which rows a round trains on.
            network: one like all of them, without classes; its weights do not matter.
            seeds: R of them, each of which keys all that is random in a run.
            training: how a round trains.
            sampling: solver and schedule.
            train_rows: N, real rows that may be trained on; None for all that are not held out.
            held_out_rows: real rows never trained on; None for a fifth of all.
            samples_per_round: samples that a round makes; None for what regime and measures need.
            split_seeds: R that key which real rows there are; None for the seeds.
            micro_batch: samples of a replica made at a time, and held-out rows whose noise is
                drawn together.
            measures: taken of every round.
            guide: makes of the rounds' denoisers those that samples are made with.
            curator: weighs the samples that the regime takes, and leaves some out; None for all.

        Raises:
            ValueError: an option cannot be, or there are not enough rows.
        """
        splits = list(seeds if split_seeds is None else split_seeds)
        if not seeds or len(splits) != len(seeds):
            raise ValueError(
                f"seeds = {list(seeds)}: must be one or more, and as many as split_seeds"
            )
        if micro_batch < 1:
            raise ValueError(f"micro_batch = {micro_batch}: must be at least 1")
        if sampling.latents != "fresh":
            raise ValueError(
                f"sampling.latents = {sampling.latents}: must be fresh for replicas that are "
                "trained together; run each seed by fit"
            )
        if guide is not None:
            guide.check(network, training.restart)
        self.regime, self.training, self.sampling = regime, training, sampling
        self._guide, self._curator = guide, curator
        self._first: EDMPrecond | None = None
        self._micro_batch = micro_batch
        self._loss = EDMLoss(training.P_mean, training.P_std, training.sigma_data)
        self._replicas = []
        for seed, split_seed in zip(seeds, splits, strict=True):
            rows = _points(source, split_seed, network.dim)
            train, held_out = split(rows, split_seed, train_rows, held_out_rows)
            self._replicas.append(_Replica(seed, split_seed, train, held_out))
        sizes = len(train), len(held_out)
        self.n_samples, self.n_trainable = samples_of(regime, *sizes, samples_per_round)
        self._networks = [copy.deepcopy(network) for _ in seeds]
        StackedMLP(self._networks)  # which refuses what it cannot be
        for replica in self._replicas:
            replica.measured = PointMeasures(
                measures,
                replica.train,
                replica.held_out,
                self.n_samples,
                replica.seed,
                summed=min(self.n_samples, len(replica.held_out), MEASURED_ROWS),
            )

    @property
    def real(self) -> list[Tensor]:
        """The real rows (N, d) that each replica may train on."""
        return [_all(replica.train) for replica in self._replicas]

    def rounds(self, n: int) -> Iterator[StackedRound]:
        """Trains, samples and measures one round after another, until n are made.

        Raises:
            ValueError: the regime or the curator cannot be satisfied, before anything is trained;
                or a loss is not finite.
        """
        n_real = self._replicas[0].pool.sizes[0]
        self.regime.check(n_real, self.n_trainable, n)
        if self._curator is not None:
            sizes = [n_real] + [self.n_trainable] * (n - 1)
            for replica in self._replicas:
                check_curator(self._curator, self.regime, sizes, replica.seed)
        while (r := self._replicas[0].pool.round) < n:
            with _without_denormals():
                made = self._round(r)
            yield made

    def _round(self, r: int) -> StackedRound:
        starts = self._start(r)
        curations = [
            curated(self._curator, replica.pool, self.regime, replica.train, replica.seed)
            for replica in self._replicas
        ]
        average, losses = self._train(r, curations)
        for i, network in enumerate(self._networks):
            average.copy_to(i, network)
        samples, bad = self._sample(average, r)
        records = []
        for i, (replica, network) in enumerate(zip(self._replicas, self._networks, strict=True)):
            trained_on = replica.pool.at(curations[i].positions)
            records.append(
                {"round": r, **self._told(replica, curations[i]), "train_loss": losses[i]}
                | self._held_out_loss(replica, network)
                | replica.measured(samples[i], trained_on, n_nonfinite=bad[i])
                | {"weights_moved": _moved(starts[i], network)}
            )
            replica.pool.deposit(samples[i], self.n_trainable)
        return StackedRound(records, samples)

    def _start(self, r: int) -> list[Tensor]:
        """Gives every network the weights that the round starts from; gives them (P,) too."""
        if r == 0 or self.training.restart != "warm":
            born = r if self.training.restart == "scratch" else 0
            for replica, network in zip(self._replicas, self._networks, strict=True):
                randomise(network, key(replica.seed, "init", born))
        return [_weights(network) for network in self._networks]

    def _train(self, r: int, curations: list[Curated]) -> tuple[StackedMLP, list[float]]:
        """Trains a round; gives the average of all networks, and the mean loss of each."""
        how, size = self.training, self.training.batch_size
        networks = StackedMLP(self._networks)
        model = EDMPrecond(networks, how.sigma_data)
        average = copy.deepcopy(networks).requires_grad_(False)
        weights: list[Tensor] = [*networks.parameters()]
        averages: list[Tensor] = [*average.parameters()]
        adam = torch.optim.Adam(weights, lr=how.lr, fused=True)
        losses = torch.zeros(len(self._networks), dtype=torch.float64)
        for step, (x, weights_of_rows) in enumerate(self._batches(r, curations)):
            sigma, noise = self._noise(x, r, step)
            loss = self._loss(model, x.flatten(0, 1), sigma, noise)
            if self._curator is not None:
                loss = loss * weights_of_rows.reshape(-1, 1)
            losses += loss.detach().reshape(len(x), -1).mean(1)
            adam.zero_grad()
            torch.autograd.backward(loss.sum() / size)
            seen = step * size
            factor = rate_factor(seen, how.lr_rampup * how.images_per_round)
            adam.param_groups[0]["lr"] = how.lr * factor
            adam.step()
            decay = ema_decay(seen, size, how.ema_rampup, how.ema_halflife)
            with torch.no_grad():
                torch._foreach_lerp_(averages, weights, 1 - decay)
            if step % _STEPS_READ == 0 or step == how.steps - 1:
                self._refuse_diverged(losses, r, step)
        return average, (losses / how.steps).tolist()

    def _batches(self, r: int, curations: list[Curated]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the rows (R, B, d) of every step, and their weights (R, B) in the loss."""
        size, steps = self.training.batch_size, self.training.steps
        drawn = [
            (replica.seed, replica.pool[curation.positions], curation.weights)
            for replica, curation in zip(self._replicas, curations, strict=True)
        ]
        for first in range(0, steps, _STEPS_READ):
            parts, shares = [], []
            for seed, rows, weights in drawn:
                # Batches follow each other without a seam, so that several are a larger one.
                many = first // _STEPS_READ
                order = batch_order(len(rows), _STEPS_READ * size, many, (seed, r))
                parts.append(rows[order].reshape(_STEPS_READ, size, -1))
                shares.append(weights[order].reshape(_STEPS_READ, size))
            several = zip(torch.stack(parts, 1), torch.stack(shares, 1), strict=True)
            yield from islice(several, steps - first)

    def _noise(self, x: Tensor, r: int, step: int) -> tuple[Tensor, Tensor]:
        """Draws noise levels (R · B,) and noise (R · B, d)."""
        drawn = [
            self._loss.draw(tuple(x.shape[1:]), generator(replica.seed, "noise", r, step))
            for replica in self._replicas
        ]
        sigma, noise = zip(*drawn, strict=True)
        return torch.cat(sigma), torch.cat(noise)

    def _refuse_diverged(self, losses: Tensor, r: int, step: int) -> None:
        finite = losses.isfinite()
        if not finite.all():
            seed = self._replicas[int(finite.int().argmin())].seed
            raise ValueError(
                f"seed = {seed}: round {r}: the loss is not finite by step {step}; lower lr, or "
                "run this seed by fit, which leaves out such steps"
            )

    @torch.no_grad()
    def _sample(self, average: StackedMLP, r: int) -> tuple[Tensor, list[int]]:
        """Makes the samples (R, n, d) of a round, and tells how many of each were not finite."""
        parts, n = [], self.n_samples
        denoise = self._guided(EDMPrecond(average, self.training.sigma_data), r)
        shape = self._networks[0].row_shape
        for first in range(0, n, self._micro_batch):
            indices = range(first, min(n, first + self._micro_batch))
            keyed = [
                generator(replica.seed, "sample", r, i)
                for replica in self._replicas
                for i in indices
            ]
            normal = KeyedNormal(keyed)
            made = self.sampling(denoise, normal(shape), normal.like)
            parts.append(made.reshape(len(self._replicas), len(indices), *shape))
        finite, bad = nonfinite_as_zero(torch.cat(parts, 1).flatten(0, 1))
        rows = from_network_units(finite).reshape(len(self._replicas), n, *shape)
        return rows, bad.reshape(len(rows), n).sum(1).tolist()

    def _guided(self, denoiser: EDMPrecond, r: int) -> Denoiser:
        if self._guide is None:
            return denoiser
        if self._guide.needs_first and r == 0:
            self._first = copy.deepcopy(denoiser)
        if (guide := self._guide.at(r)) is None:
            return denoiser
        made = guide(denoiser, self._first)
        return lambda x, sigma: made(x, sigma, None)

    def _told(self, replica: _Replica, curation: Curated) -> dict[str, Any]:
        """What the round is of, as fields of a record."""
        how = self.training
        choice = {k: v for k, v in curation.record.items() if k != "seconds_curate"}
        return (
            replica.pool.composition(self.regime, curation.counts)
            | choice
            | {
                "n_train": len(replica.train),
                "n_held_out": len(replica.held_out),
                "n_samples": self.n_samples,
                "n_trainable": self.n_trainable,
                "images_seen": how.steps * how.batch_size,
                "seed": replica.seed,
                "split_seed": replica.split_seed,
                "restart": how.restart,
            }
        )

    def _held_out_loss(self, replica: _Replica, network: SigmaMLP) -> dict[str, Any]:
        denoise = EDMPrecond(network, self.training.sigma_data)
        size = self._micro_batch
        sums = []
        for i, x in enumerate(torch.split(_all(replica.held_out), size)):
            random = generator(replica.seed, "validation", i)
            sums.append(loss_sums(self._loss, denoise, x, random, at_once=size))
        return loss_fields(sums, self._loss, network.row_shape)


@contextmanager
def _without_denormals() -> Iterator[None]:
    """Takes denormal numbers, which slow a CPU severalfold, for 0, as `fit` does."""
    already = not (torch.full((1,), 1e-40) * 1.0).any()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)


def _points(source: Source, seed: int, dim: int) -> ReadRows:
    rows, labels = source.read(seed)
    if rows.ndim != 2 or rows.shape[1] != dim:
        raise ValueError(
            f"source: gives rows of shape {tuple(rows.shape[1:])}, must be points of network.dim "
            f"= {dim} numbers"
        )
    return ReadRows(rows.float(), labels)


def _all(rows: Any) -> Tensor:
    read: Tensor = rows[torch.arange(len(rows))]
    return read


def _weights(network: SigmaMLP) -> Tensor:
    return parameters_to_vector(network.parameters()).detach().double()


def _moved(start: Tensor, network: SigmaMLP) -> float:
    """‖weights now - at the round's start‖ / ‖at the round's start‖."""
    norm = float(start.norm())
    return float((_weights(network) - start).norm()) / norm if norm else 0.0
