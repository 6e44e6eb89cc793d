"""Reading weights from files, as tensors only."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from lightning_collapse.networks.edm import Precond
from lightning_collapse.networks.trained_for import preconditioning_of
from lightning_collapse.runs.checkpoints import read_checkpoint
from lightning_collapse.runs.denoiser import average_of

__all__ = ["file_sha256", "forms", "load_weights", "not_finite"]


def load_weights(model: Precond, path: Path) -> None:
    """Loads a denoiser's weights: a .safetensors file, or the average from a run's checkpoint.

    Raises:
        ValueError: the file cannot be read, or its names, shapes or types are not the
            network's, or a weight is not finite, or they were trained behind another
            preconditioning than the denoiser's.
    """
    weights, trained_behind = _read(Path(path))
    if trained_behind != (behind := preconditioning_of(model.preconditioning)):
        raise ValueError(
            f"init_from = {path}: was trained behind the preconditioning "
            f"{_name(trained_behind)}, not {_name(behind)}; restore it, or name another file"
        )
    expected, found = forms(model.state_dict()), forms(weights)
    if expected != found:
        wrong = sorted({name for name, _ in expected.items() ^ found.items()})
        raise ValueError(
            f"init_from = {path}: {len(wrong)} entries do not fit the "
            f"network, such as {wrong[0]} ({found.get(wrong[0])} in the file, "
            f"{expected.get(wrong[0])} in the network)"
        )
    if bad := not_finite(weights):
        raise ValueError(f"init_from = {path}: {bad} is not finite; name another file")
    model.load_state_dict(weights)


def not_finite(weights: Mapping[str, Tensor]) -> str | None:
    """Gives the name of the first tensor that holds a NaN or an infinity, if any does."""
    return next((name for name, value in weights.items() if not value.isfinite().all()), None)


def forms(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Gives the type and shape of every tensor, to compare and to tell."""
    return {
        name: f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
        for name, value in weights.items()
    }


def file_sha256(path: Path) -> str:
    """Gives the SHA-256 of a file of weights; raises FileNotFoundError where there is none."""
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"init_from = {path}: no such file; name a run's checkpoint, or a .safetensors "
            "file that `lightning-collapse convert` made"
        )
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _name(described: Any) -> str:
    """Gives the options of a preconditioning that was described; EDM's is described by none."""
    if not isinstance(described, dict):
        return "EDM"
    options = ", ".join(f"{k}={v!s:.20}" for k, v in described.get("init_args", {}).items())
    return f"{str(described.get('class_path')).rpartition('.')[2]:.60}({options:.200})"


def _read(path: Path) -> tuple[dict[str, Tensor], Any]:
    """Reads weights, and the description of the preconditioning; None for EDM's."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                told = json.loads((file.metadata() or {}).get("model", "{}"))
            return load_file(path), told.get("preconditioning")
        checkpoint = read_checkpoint(path, sealed=False)
        model = checkpoint.get("model")
        behind = model.get("preconditioning") if isinstance(model, dict) else None
        return average_of(checkpoint, path), behind
    except Exception as error:  # of many kinds, for files that are something else
        raise ValueError(
            f"init_from = {path}: holds no weights that can be read; name a run's "
            "checkpoint, or a .safetensors file that `lightning-collapse convert` made"
        ) from error
