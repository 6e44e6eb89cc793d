"""Diffusion on points in many replicas at once, over shares of samples and widths, for ζ."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from lightning_collapse.analysis.conditions import Condition, Replica
from lightning_collapse.data.sources.points import Mixture
from lightning_collapse.metrics.families import ALWAYS
from lightning_collapse.networks.mlp import SigmaMLP
from lightning_collapse.regimes import Replace
from lightning_collapse.runs.layout import Run
from lightning_collapse.toys.stacked import Replicas
from lightning_collapse.toys.training import Training

__all__ = ["points_conditions"]


def points_conditions(
    widths: Sequence[int],
    shares: Sequence[float],
    n: int,
    rounds: int,
    replicas: int,
    training: Training,
    seed: int,
) -> list[Condition]:
    """Trains every width at every share, and on real rows alone, each under the same seeds.

    Args:
        widths: of the network.
        shares: λ of `Replace`, in (0, 1].
        n: N, training rows of a replica, and as many held out.
        rounds: K, from round 0, at least 2.
        replicas: at least 1, with seeds from `seed` on.
        training: how a round trains.
        seed: keys everything.

    Returns:
        Conditions without folders: of what runs would record, they have what ζ is made of.

    Raises:
        ValueError: a loss is not finite.
    """
    seeds = range(seed, seed + replicas)
    cells = [(width, share) for width in widths for share in (0.0, *shares)]
    found = []
    for width, share in tqdm(cells, "conditions", leave=False, disable=None):
        regime = Replace(share)
        stacked = Replicas(
            Mixture(2 * n),
            regime,
            SigmaMLP(2, width=width),
            seeds,
            training=training,
            train_rows=n,
            held_out_rows=n,
            samples_per_round=n,
            measures=ALWAYS,
        )
        by_round = [made.records for made in stacked.rounds(rounds)]
        keys = [Replica(own, own) for own in seeds]
        found.append(
            Condition(
                f"{regime}, width {width}",
                {replica: Run(Path()) for replica in keys},
                {replica: [records[i] for records in by_round] for i, replica in enumerate(keys)},
                {"model.network.width": str(width)},
            )
        )
    return found
