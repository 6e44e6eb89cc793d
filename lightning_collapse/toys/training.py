"""How runs on points that are trained together train."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Training"]


@dataclass(frozen=True)
class Training:
    """How a round trains: by Adam, with the options of `fit` and their defaults.

    Attributes:
        images_per_round: rows seen in a round, rounded up to whole batches.
        batch_size: rows in a step of each replica.
        lr: learning rate.
        restart: where a round's weights start from: a new random network, the average that made
            the last samples, or what round 0 started from.
        sigma_data: standard deviation of the data.
        P_mean: mean of ln sigma.
        P_std: standard deviation of ln sigma.
        lr_rampup: share of a round's images over which the learning rate rises from 0.
        ema_halflife: longest half-life of the average, in images; None for no limit.
        ema_rampup: half-life of the average as a share of the round's images so far.
    """

    images_per_round: int = 76_800
    batch_size: int = 128
    lr: float = 1e-3
    restart: Literal["scratch", "warm", "initial"] = "scratch"
    sigma_data: float = 0.5
    P_mean: float = -1.2
    P_std: float = 1.2
    lr_rampup: float = 0.05
    ema_halflife: int | None = None
    ema_rampup: float = 0.05

    def __post_init__(self) -> None:
        for name in ("images_per_round", "batch_size"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"{name} = {value}: must be at least 1")
        for name in ("lr", "sigma_data", "P_std"):
            if not (value := getattr(self, name)) > 0:
                raise ValueError(f"{name} = {value}: must be a number > 0")
        for name in ("lr_rampup", "ema_rampup"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"{name} = {value}: must be a share in [0, 1]")
        if self.ema_halflife is not None and self.ema_halflife < 1:
            raise ValueError(f"ema_halflife = {self.ema_halflife}: must be at least 1 image")

    @property
    def steps(self) -> int:
        """Steps of a round."""
        return -(-self.images_per_round // self.batch_size)
