"""`lightning-collapse toy diffusion`: diffusion on points, beside a mixture fitted to them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, is_dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.commands.regime_names import check_regime_name
from lightning_collapse.commands.regime_options import chosen_conditions
from lightning_collapse.learners.learner import GaussianMixtureEM
from lightning_collapse.metrics.families import NAMES
from lightning_collapse.metrics.torch_metrics import Measurable, as_measures
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.toys.conditions import Condition
from lightning_collapse.toys.diffusion import (
    MICRO_BATCH,
    SCALE,
    ExactDiffusion,
    Learned,
    Route,
    join,
    loop_samples,
    measure,
    points,
    samples_made,
    trained_together,
)
from lightning_collapse.toys.diffusion_figure import draw_routes
from lightning_collapse.toys.gmm import Protocol, summary
from lightning_collapse.toys.gmm_figures import COURSES, ENDS
from lightning_collapse.toys.ranges import above, at_least, check_loop
from lightning_collapse.toys.spreads import draw_ends, end_table
from lightning_collapse.toys.tables import command_line, named, open_folder, write_tables

__all__ = ["diffusion", "main"]

# As wherever loops are compared: points here are of one scale.
_SHARED = (
    *("sigma_min", "sigma_max", "rho", "S_churn", "S_min", "S_max", "S_noise"),
    *("temperature", "start", "last", "latents"),
)


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("toy diffusion", diffusion, arguments, without=_SHARED, classes=NAMES)


def diffusion(
    lambdas: str | None = None,
    regime: str = "Replace",
    regime_options: dict[str, Any] | None = None,
    n: int = 1000,
    rounds: int = 6,
    replicas: int = 1,
    seed: int = 0,
    exact: bool = False,
    images_per_round: int = 128_000,
    batch_size: int = 256,
    width: int = 128,
    depth: int = 3,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    components: int = 3,
    reg_covar: float = 0.0,
    threshold: float = 2.0,
    measures: list[Measurable] = [],  # noqa: B006 - never changed
    out: Path = Path("runs/toy_diffusion"),
) -> None:
    """Trains diffusion on its own samples of points in the plane, and fits a mixture likewise.

    Points are those of `toy gmm`. One replica is a run like any other, in a folder of `out`: the
    same command goes on where it stopped. Several are trained together, which costs each less
    than half, leave no runs, and have the same samples but for rounding. For the measures a
    mixture is fitted to the samples of every round, of diffusion and of mixture alike.

    Args:
        lambdas: λ of each condition, separated by commas; 0 retrains on real points in every
            round. Default: 1.0, or what the options say.
        regime: which rows a round trains on: Replace, Turnover, Augment, Accumulate,
            AccumulateSubsample, Fresh, or a class path such as mine.Ramp.
        regime_options: options of the regime besides λ, as JSON.
        n: real points of a replica, N.
        rounds: how many, from round 0.
        replicas: loops of each condition, with seeds from `seed` on.
        seed: keys everything.
        exact: learn nothing: fit a mixture and sample it by diffusion with its exact denoiser,
            which leaves the sampler's own bias.
        images_per_round: points seen in training in every round.
        batch_size: points in a training step.
        width: hidden features of the network.
        depth: its residual blocks.
        sampling: solver and schedule of the diffusion.
        components: Gaussians in the mixtures.
        reg_covar: added to the diagonal of their covariances.
        threshold: a mode counts as covered if a fitted mean is within this distance.
        measures: taken of the samples too: names, class paths, or {class_path, init_args}.
        out: folder for rounds.csv, summary.json, the figure and the run.
    """
    check_loop(n, rounds, replicas, lambdas)
    check_regime_name(regime)
    at_least("images_per_round", images_per_round, 1)
    at_least("batch_size", batch_size, 1)
    at_least("width", width, 1)
    at_least("depth", depth, 1)
    at_least("components", components, 1)
    at_least("reg_covar", reg_covar, 0)
    above("threshold", threshold, 0)
    protocol = Protocol(
        *(rounds, replicas, seed, components, reg_covar),
        threshold=threshold,
        measures=tuple(as_measures(measures)),
    )
    wanted = chosen_conditions(regime, regime_options, lambdas, n, rounds, "1.0")
    _check(wanted, protocol)
    open_folder(out)
    learned = None if exact else Learned(images_per_round, batch_size, width, depth)
    pairs = (_routes(condition, protocol, sampling, learned, out) for condition in wanted)
    routes = list(chain.from_iterable(pairs))
    command = command_line(
        "toy diffusion",
        **{"lambdas": lambdas, "regime": regime, "regime_options": regime_options},
        **{"n": n, "rounds": rounds, "replicas": replicas, "seed": seed, "exact": exact},
        **({} if learned is None else asdict(learned)),
        **{"solver": sampling.solver, "schedule": sampling.schedule, "steps": sampling.num_steps},
        **{"components": components, "reg_covar": reg_covar, "threshold": threshold},
        measures=named(protocol.measures),
    )
    _tell(out, command, routes, protocol)


def _tell(out: Path, command: str, routes: Sequence[Route], protocol: Protocol) -> None:
    summaries = [_summary(route, protocol) for route in routes]
    write_tables(out, command, summaries)
    draw_routes(out, routes, protocol)
    draw_ends(out, summaries, "sliced_wasserstein", ENDS)
    print(*end_table(summaries, list(COURSES)), sep="\n")
    print(f"results: {out}")


def _check(conditions: Sequence[Condition], protocol: Protocol) -> None:
    for condition in conditions:
        protocol.check(condition)
        made, least = samples_made(condition), max(2, protocol.components)
        if made < least:
            told = condition.fraction is not None
            blame = f"lambdas = {condition.fraction:g}" if told else f"regime = {condition.name}"
            need = f"makes {made} samples a round, must make at least {least}"
            raise ValueError(f"{blame}: {need}; raise it, or n")


def _folder(condition: Condition) -> str:
    return (
        type(condition.regime).__name__
        if condition.fraction is None
        else f"lambda-{condition.fraction:g}"
    )


def _routes(
    condition: Condition,
    protocol: Protocol,
    sampling: Sampling,
    learned: Learned | None,
    out: Path,
) -> list[Route]:
    """Gives diffusion and the mixture, each with all replicas on the same real points."""
    diffused, fitted = [], []
    name = "diffusion" if learned else "exact diffusion"
    seeds = range(protocol.seed, protocol.seed + protocol.replicas)
    for seed, (real, samples) in zip(
        seeds, _samples(condition, protocol, sampling, learned, out, seeds), strict=True
    ):
        diffused.append(measure(name, condition, protocol, samples, seed))
        direct = loop_samples(_mixture(protocol, seed), real, condition, protocol.rounds, seed)
        fitted.append(measure("mixture", condition, protocol, direct, seed))
    return [join(diffused), join(fitted)]


def _samples(
    condition: Condition,
    protocol: Protocol,
    sampling: Sampling,
    learned: Learned | None,
    out: Path,
    seeds: Sequence[int],
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Yields the real rows (N, 2) of every replica, and its samples of all rounds."""
    if learned is None:
        for seed in seeds:
            real = points(condition).read(seed)[0][: condition.n_real]
            learner = ExactDiffusion(_mixture(protocol, seed), sampling)
            yield real, loop_samples(learner, real, condition, protocol.rounds, seed)
    elif len(seeds) == 1:
        run = out / f"{_folder(condition)}-seed-{seeds[0]}"
        yield _train(condition, protocol, sampling, learned, run, seeds[0])
    else:
        yield from trained_together(condition, learned, sampling, protocol.rounds, seeds)


def _mixture(protocol: Protocol, seed: int) -> GaussianMixtureEM:
    # In network units, as the rows are.
    return GaussianMixtureEM(protocol.components, "kmeans", protocol.reg_covar / SCALE**2, seed)


def _train(
    condition: Condition,
    protocol: Protocol,
    sampling: Sampling,
    learned: Learned,
    run: Path,
    seed: int,
) -> tuple[Tensor, list[Tensor]]:
    """Runs, or goes on with, one run; gives its real rows (N, 2) and every round's samples."""
    # Here: they take seconds to import.
    from lightning_collapse.commands.running import conduct
    from lightning_collapse.lit.data import PoolDataModule
    from lightning_collapse.lit.loop import GenerationLoop
    from lightning_collapse.lit.module import CollapseModule
    from lightning_collapse.networks.mlp import SigmaMLP

    network = {"dim": 2, "width": learned.width, "depth": learned.depth}
    weighed: dict[str, Any] = {"sigma_data": 0.5, "seed": seed}
    rows: dict[str, Any] = {
        "source": points(condition),
        "regime": condition.regime,
        "train_rows": condition.n_real,
        "held_out_rows": condition.n,
        "samples_per_round": samples_made(condition),
        "images_per_round": learned.images_per_round,
        "batch_size": learned.batch_size,
        "seed": seed,
    }
    ended: dict[str, Any] = {"sampling": sampling, "micro_batch": MICRO_BATCH}
    data = PoolDataModule(**rows, run=run)
    conduct(
        CollapseModule(SigmaMLP(**network), **weighed),
        data,
        GenerationLoop(**ended),
        config={
            "trainer": {"max_epochs": protocol.rounds},
            "data": {name: _described(value) for name, value in rows.items()},
            "model": {"network": _named(SigmaMLP, network), **weighed},
            "loop": {**ended, "sampling": asdict(sampling)},
        },
        max_epochs=protocol.rounds,
        accelerator="cpu",  # networks this small are fastest there
        logger=False,
    )
    torch.set_flush_denormal(False)  # the loop's, for untrained networks
    made = data.generations[: protocol.rounds]
    rounds = [samples[torch.arange(len(samples))] for samples in made]
    return data.train[torch.arange(len(data.train))], rounds


def _described(value: Any) -> Any:
    """Gives a source or a regime as a configuration names it, and other values as they are."""
    if is_dataclass(value) and not isinstance(value, type):
        return _named(type(value), asdict(value))
    return value


def _named(kind: type, options: dict[str, Any]) -> dict[str, Any]:
    return {"class_path": f"{kind.__module__}.{kind.__name__}", "init_args": options}


def _summary(route: Route, protocol: Protocol) -> dict[str, Any]:
    bands = {}
    if protocol.replicas > 1:
        for end, share in (("q05", 0.05), ("q95", 0.95)):
            for name, values in route.statistics.items():
                bands[f"{name}_{end}"] = np.quantile(values, share, 0)
    return {"model": route.name} | bands | summary(route.condition, route.statistics, protocol)
