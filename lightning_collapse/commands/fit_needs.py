"""What a run needs from elsewhere before it starts: weights, images, Inception; told at once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from lightning_collapse.data.store.manifest import is_committed
from lightning_collapse.metrics.inception_weights import find_weights
from lightning_collapse.runs.layout import Run

__all__ = ["check_needs"]

_NO_WEIGHTS = (
    "data.train_first_round = false: generation 0 would be samples of an untrained network, which "
    "are noise; name its weights by model.init_from, or set it to true"
)


def check_needs(config: Namespace) -> None:
    """Refuses a configuration of which something is missing, with all that is.

    Raises:
        ValueError: two things or more are missing, or round 0 has no weights.
        FileNotFoundError: Inception's weights are.
    """
    missing = list(_missing(config))
    if len(missing) > 1:
        listed = "; ".join(f"({i}) {what}" for i, what in enumerate(missing, start=1))
        raise ValueError(f"missing before a start: {listed}")
    # One thing alone is told by whatever needs it, better than here.
    if missing == [_NO_WEIGHTS]:
        raise ValueError(_NO_WEIGHTS)


def _missing(config: Namespace) -> Iterator[str]:
    weights = config.model.init_from
    if weights is not None and not Path(weights).is_file():
        yield f"model.init_from = {weights}: no such file"
    if weights is None and not config.data.train_first_round:
        yield _NO_WEIGHTS
    source = config.data.source
    if source is not None and not is_committed(Run(config.run).real):
        options = _options(source)
        for key, value in options.items():
            if isinstance(value, Path) and not value.exists() and not options.get("download"):
                yield f"data.source.{key} = {value}: no such file or folder"
    features = config.loop.features
    if features is not None and features.class_path.rpartition(".")[2] == "Inception":
        options = _options(features)
        if not options.get("download"):
            try:
                find_weights(options.get("weights"), download=False)
            except FileNotFoundError as error:
                yield f"loop.features: {error}"


def _options(named: Namespace) -> dict[str, Any]:
    made = named.get("init_args")
    return vars(made) if made else {}
