"""The seam for guides: of a round's denoiser another one, which makes the round's samples.

Training does not know of it. A guide that sets the round's network against that of round 0, which
has trained on real rows alone, has nothing to do in round 0: that is sampled without it.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:  # The command line knows the options before torch is there.
    from torch import Tensor, nn

__all__ = [
    "OURS",
    "ClassifierFree",
    "Guide",
    "LabelledDenoiser",
    "NegativeGuidance",
    "WeightExtrapolation",
]

LabelledDenoiser = Callable[["Tensor", "Tensor", "Tensor | None"], "Tensor"]
"""D(x, sigma, class_labels): the expected clean rows (B, *), given x (B, *), sigma () and classes
(B,), or None for "no class"."""


@dataclass(frozen=True)
class Guide(ABC):
    """Makes of a round's denoiser the one to sample with: a frozen dataclass with `__call__`."""

    needs_first: ClassVar[bool] = False
    """Whether it needs the network of round 0; it then guides from round 1 on."""
    calls: ClassVar[int] = 1
    """How often the denoiser that it makes calls networks, each time; for the record."""

    @abstractmethod
    def __call__(self, denoiser: "nn.Module", first: "nn.Module | None") -> LabelledDenoiser:
        """Makes the denoiser to sample with.

        Args:
            denoiser: the round's, D(x, sigma, class_labels); to be left as it is.
            first: that of round 0, of the same parameters, on the same device; None unless
                `needs_first`. To be left as it is, too.
        """

    def check(  # noqa: B027 - most can guide any
        self, network: "nn.Module", restart: str | None
    ) -> None:
        """Refuses a network that it cannot guide, before anything is computed.

        Args:
            network: the raw network F.
            restart: where a round's weights start from, `model.restart`; None if not known.

        Raises:
            ValueError: says what the network lacks, and what to set.
        """

    def described(self) -> dict[str, Any]:
        """Gives `class_path` and `init_args`, by which it can be made again."""
        kind = type(self)
        return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": asdict(self)}

    def at(self, round: int) -> "Guide | None":
        """What guides a round: nothing guides round 0 that needs its network."""
        return None if self.needs_first and round == 0 else self


@dataclass(frozen=True)
class ClassifierFree(Guide):
    """Classifier-free guidance: D_u + weight (D_c - D_u), with and without the sample's class.

    Source: Ho & Salimans 2022, https://arxiv.org/abs/2207.12598, Eq. 6, whose w is weight - 1. A
    bias of the sampler: above 1, samples are more typical of their class, and vary less. Two
    network calls for one.

    Attributes:
        weight: 0 samples without classes, 1 with them, as without a guide; at least 0.
    """

    weight: float = 1.5

    calls: ClassVar[int] = 2

    def __post_init__(self) -> None:
        _check_weight(self.weight)

    def __call__(self, denoiser: "nn.Module", first: "nn.Module | None") -> LabelledDenoiser:
        def guided(x: "Tensor", sigma: "Tensor", labels: "Tensor | None") -> "Tensor":
            unconditional: Tensor = denoiser(x, sigma, None)
            # `lerp` is exact at both ends.
            return unconditional.lerp(denoiser(x, sigma, labels), self.weight)

        return guided

    def check(self, network: "nn.Module", restart: str | None) -> None:
        if not getattr(network, "label_dim", 0):
            raise ValueError("needs a network with classes; set its label_dim")
        if not getattr(network, "label_dropout", 0.0) > 0:
            raise ValueError(
                "needs a network that has learned to do without classes too; train it with a "
                "label_dropout above 0, such as 0.1"
            )


@dataclass(frozen=True)
class NegativeGuidance(Guide):
    """Away from what the round has learned: D_0 + weight (D_0 - D_r), D_0 that of round 0.

    Round 0 has trained on real rows, round r on samples of others: SIMS (Alemohammad et al. 2024,
    https://arxiv.org/abs/2408.16333). Where these are Gaussian, of deviations s_0 and s_r, samples
    have s_0 (s_0 / s_r)^weight. Two network calls for one; round 0 is sampled without it.

    Attributes:
        weight: 0 samples the network of round 0 in every round; at least 0.
    """

    weight: float = 1.0

    needs_first: ClassVar[bool] = True
    calls: ClassVar[int] = 2

    def __post_init__(self) -> None:
        _check_weight(self.weight)

    def __call__(self, denoiser: "nn.Module", first: "nn.Module | None") -> LabelledDenoiser:
        base = _there(first)

        def guided(x: "Tensor", sigma: "Tensor", labels: "Tensor | None") -> "Tensor":
            own: Tensor = denoiser(x, sigma, labels)
            return own.lerp(base(x, sigma, labels), 1 + self.weight)

        return guided


@dataclass(frozen=True)
class WeightExtrapolation(Guide):
    """The network whose weights are theta_0 - weight (theta_r - theta_0), theta_0 of round 0.

    Neon (Alemohammad et al. 2025, https://arxiv.org/abs/2510.03597): as `NegativeGuidance`, but of
    weights, at one network call. Rounds must begin where others have ended, or the weights between
    them mean nothing. Round 0 is sampled without it.

    Attributes:
        weight: 0 samples the network of round 0 in every round; at least 0.
    """

    weight: float = 1.0

    needs_first: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_weight(self.weight)

    def __call__(self, denoiser: "nn.Module", first: "nn.Module | None") -> LabelledDenoiser:
        made = copy.deepcopy(denoiser)
        base = dict(_there(first).named_parameters())
        for name, value in made.named_parameters():
            value.data.lerp_(base[name].data, 1 + self.weight)
        return made

    def check(self, network: "nn.Module", restart: str | None) -> None:
        if restart == "scratch":
            raise ValueError(
                "needs rounds that start from one another's weights; set model.restart to warm, "
                "not scratch"
            )


OURS: tuple[type[Guide], ...] = (ClassifierFree, NegativeGuidance, WeightExtrapolation)
"""What recipes and command lines may name without being trusted, by the last part of its path."""


def _check_weight(weight: float) -> None:
    if not 0 <= weight < math.inf:  # NaN too
        raise ValueError(f"weight = {weight}: must be a number of at least 0")


def _there(first: "nn.Module | None") -> "nn.Module":
    if first is None:
        raise ValueError("the network of round 0 is missing")
    return first
