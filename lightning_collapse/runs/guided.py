"""Guides made again from what a recipe says of them, and the denoisers that they make."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_collapse.networks.edm import Precond
from lightning_collapse.networks.network import named_among
from lightning_collapse.runs.denoiser import load_run_denoiser
from lightning_collapse.runs.layout import Run
from lightning_collapse.sampling.guide import OURS, Guide, LabelledDenoiser
from lightning_collapse.trust import Trusted, import_trusted

__all__ = ["guided", "recorded_guide"]


def recorded_guide(told: Any, trust_class: Trusted = None) -> Guide | None:
    """Makes the guide that a recipe tells of, which may be anyone's; None for none.

    Raises:
        ValueError: it is of a class that is not trusted, or cannot be made.
    """
    if told is None:
        return None
    told = told if isinstance(told, Mapping) else {}
    path, options = str(told.get("class_path")), told.get("init_args")
    names = [kind.__name__ for kind in OURS]
    kind: Any = named_among(OURS, path) or import_trusted("guide", path, names, trust_class)
    if not (isinstance(kind, type) and issubclass(kind, Guide)):
        raise ValueError(f"guide = {path:.60}: what is trusted by that name is no Guide")
    try:
        return kind(**(options if isinstance(options, dict) else {}))
    except (TypeError, ValueError) as error:
        name = path.rpartition(".")[2]
        raise ValueError(f"guide = {name}: cannot be made ({error!s:.120})") from error


def guided(
    guide: Guide | None, denoiser: Precond, checkpoint: Path, trust_class: Trusted = None
) -> LabelledDenoiser:
    """Gives the denoiser that a guide makes of a checkpoint's.

    Args:
        guide: which; None for the checkpoint's own denoiser.
        denoiser: of the checkpoint, on the device where the samples are to be made.
        checkpoint: in its run's folder, where that of round 0 is found.
        trust_class: the network's class, if it is not of this package, or several classes.

    Raises:
        OSError: the second network's checkpoint is not there.
        ValueError: the network is not one for the guide, or the second one cannot be made.
    """
    if guide is None:
        return denoiser
    try:
        guide.check(denoiser.model, None)
    except ValueError as error:
        raise ValueError(f"guide = {type(guide).__name__}: {error}") from error
    if not guide.needs_first:
        return guide(denoiser, None)
    path = Run.of_checkpoint(checkpoint).checkpoint(0)
    if not path.is_file():
        raise FileNotFoundError(
            f"guide = {type(guide).__name__}: needs the network of round 0, {path}: no such file"
        )
    first = load_run_denoiser(path, trust_class)
    return guide(denoiser, first.to(next(denoiser.parameters()).device))
