"""Image metrics of torchmetrics as measures, by their class path and without a network.

torchmetrics itself is imported where a metric of it is named: it takes seconds.
"""

import inspect
import warnings
from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample
from lightning_collapse.rows import network_units
from lightning_collapse.seeds import key

__all__ = ["Measurable", "MetricLike", "TorchMetric", "as_measures"]

_ROWS_AT_ONCE = 64

# Of options that are missing or wrong, rows that do not suit, packages and weights that lack.
_ERRORS = (TypeError, ValueError, AttributeError, RuntimeError, ImportError, OSError)


class MetricLike(ABC):  # noqa: B024 - whatever has these methods is one
    """Any class that has what a metric of torchmetrics has."""

    @classmethod
    def __subclasshook__(cls, other: type) -> bool:
        return all(hasattr(other, name) for name in ("update", "compute", "reset"))


Measurable: TypeAlias = Measure | Callable[[], MetricLike]
"""What a configuration's `measures` may name: a measure, or a metric of torchmetrics."""


def as_measures(named: Sequence[Measurable] | None) -> list[Measure]:
    """Gives measures of what a configuration names.

    Raises:
        ValueError: a measure's class is named in the place of an object.
    """
    for one in named or ():
        if isinstance(one, type) and issubclass(one, Measure):
            name = one.__name__
            raise ValueError(f"measures: {name}: is a class; name an object, such as {name}()")
    return [one if isinstance(one, Measure) else TorchMetric(make=one) for one in named or ()]


@dataclass(frozen=True)
class TorchMetric(Measure):
    """A metric of torchmetrics, a fresh and seeded instance for every set.

    A metric whose `update` tells real rows apart by `real` gets the features of this measure's
    space: its `feature` is then none of torchmetrics' networks, and its figures end in the space's
    name. One of two sets of images, such as SSIM or LPIPS, gets images in [-1, 1], sample i beside
    real row i, which are a pair by chance: only the difference to its floor tells. One of a single
    set gets the samples alone. A result of two numbers is told as `_mean` and `_std`, one of
    several as a list.

    Attributes:
        make: the metric's class, or a function that makes it.
    """

    make: Callable[[], MetricLike] = field(kw_only=True)

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        try:
            with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
                # Such as of the memory that features take.
                warnings.simplefilter("ignore", UserWarning)
                torch.manual_seed(key(0, "torchmetrics"))
                metric = self._made(samples)
                name = type(metric).__name__
                if _updates(metric) == "real":
                    name = f"{name}_{samples.space}"
                return _figures(name, self._computed(metric, samples, real))
        except _ERRORS as error:
            raise ValueError(f"measures: {self._named}: {error}") from error

    def caution(self, figure: str, n: int) -> str:
        return f"{self._named}: compare at equal n, and with its floor"

    @cached_property
    def _named(self) -> str:
        kinds = [part for part in getattr(self.make, "args", ()) if isinstance(part, type)]
        return str(getattr(kinds[-1] if kinds else self.make, "__name__", self.make))

    def _made(self, samples: Sample) -> Any:
        options: dict[str, Any] = {}
        if self._takes("feature"):
            options["feature"] = _Known(samples.features.shape[1])
        size = self._takes("subset_size")
        if size is not None and size > len(samples):
            options["subset_size"] = max(2, len(samples) // 2)
        make: Callable[..., Any] = self.make
        return make(**options)

    def _takes(self, option: str) -> Any:
        """What the metric's constructor would take for an option; None if it has none."""
        keywords = getattr(self.make, "keywords", {})
        if option in keywords:
            return keywords[option]
        found = inspect.signature(self.make).parameters.get(option)
        return None if found is None else found.default

    def _computed(self, metric: Any, samples: Sample, real: RealRows) -> Any:
        how = _updates(metric)
        if how == "real":
            for features, is_real in [(real.features, True), (samples.features, False)]:
                for block in torch.split(features, _ROWS_AT_ONCE):
                    metric.update(block, real=is_real)
            return metric.compute()
        if self._takes("feature") is not None:
            raise ValueError("takes a classifier's logits, which no feature space gives")
        pairs = zip(_images(samples.rows), _images(real.rows), strict=False)
        for mine, theirs in pairs:
            metric.update(*((mine, theirs) if how == "pairs" else (mine,)))
        return metric.compute()


class _Known(nn.Module):
    """The feature extractor of what are features already."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.num_features = dim

    def forward(self, features: Tensor) -> Tensor:
        return features


def _updates(metric: Any) -> str:
    """What a metric's `update` takes: sets of one kind or the `real` other, `pairs`, or `one`."""
    names = list(inspect.signature(metric.update).parameters)
    if names[1:] == ["real"]:
        return "real"
    if names in (["preds", "target"], ["img1", "img2"]):
        return "pairs"
    if len(names) == 1 and "generator" not in names:
        return "one"
    raise ValueError(f"update({', '.join(names)}) takes neither samples nor samples and real rows")


def _images(rows: Tensor) -> tuple[Tensor, ...]:
    if rows.ndim != 4:
        raise ValueError("is of images, and these rows are points")
    return torch.split(network_units(rows), _ROWS_AT_ONCE)


def _figures(name: str, result: Any) -> dict[str, Figure]:
    if isinstance(result, dict):
        return {f"{name}_{part}": _figure(value) for part, value in result.items()}
    if isinstance(result, tuple) and len(result) == 2:
        return {f"{name}_mean": _figure(result[0]), f"{name}_std": _figure(result[1])}
    return {name: _figure(torch.stack(result) if isinstance(result, (tuple, list)) else result)}


def _figure(value: Any) -> Figure:
    numbers = torch.as_tensor(value, dtype=torch.float64)
    return float(numbers) if numbers.numel() == 1 else [float(x) for x in numbers.flatten()]
