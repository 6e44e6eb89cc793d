"""`lightning-collapse evaluate`: how far a set of samples is from a reference."""

from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.commands.image_sets import open_images
from lightning_collapse.data.files import write_atomically
from lightning_collapse.data.store.manifest import finite
from lightning_collapse.metrics.baselines import MaskedNoise
from lightning_collapse.metrics.evaluation import Figures, Reference
from lightning_collapse.metrics.extraction import feature_blocks
from lightning_collapse.metrics.features import Features, Inception, Pixels
from lightning_collapse.metrics.statistics import Statistics, read_statistics, write_statistics
from lightning_collapse.rows import Rows

__all__ = ["evaluate", "main"]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("evaluate", evaluate, arguments, reads=["samples", "reference", "inception"])


def evaluate(
    samples: Path,
    reference: Path | None = None,
    features: Literal["inception", "pixels"] = "inception",
    convention: Literal["nvidia", "pytorch-fid"] = "nvidia",
    n: int | None = None,
    baseline: Literal["noise", "masked-noise"] | None = None,
    fraction: float = 0.5,
    json: Path | None = None,
    export_stats: Path | None = None,
    inception: Path | None = None,
    download: bool = False,
    seed: int = 0,
) -> None:
    """Prints how far samples are from a reference: FID, KID, precision and recall, and moments.

    Figures depend on n, the FID most of all: each is printed with it.

    Args:
        samples: a folder or a zip of PNG or JPEG images, or a store, such as RUN/pool/0003.
        reference: likewise; or an npz with mu and sigma, as NVIDIA publishes them, which tells no
            KID, precision or recall.
        features: space of the figures; a Fréchet distance is called FID in Inception's only.
        convention: how images are enlarged for Inception; figures differ slightly.
        n: how many samples, the first ones; default: all. Of the reference, all are taken.
        baseline: a worst case, scored beside the samples: as many images of noise (mean 128,
            deviation 60), or the samples with a share of each image's pixels replaced by it.
        fraction: that share, for masked-noise.
        json: file for the figures.
        export_stats: npz for mean and covariance of the reference, in NVIDIA's format.
        inception: file of Inception's weights; default: an installed one, or pytorch-fid's.
        download: fetch Inception's weights (91 MiB) if there are none.
        seed: keys the KID's subsets and the noise.
    """
    space = Pixels() if features == "pixels" else Inception(inception, convention, download)
    _check_targets(json, export_stats)
    images = open_images("samples", samples)
    n = _checked(n, len(images))
    sets: dict[str, Rows] = {"samples": images}
    fraction = 1.0 if baseline == "noise" else fraction
    if baseline is not None:
        sets[baseline] = MaskedNoise(images, fraction, seed)
    known = _read_reference(reference, images, space)
    real = _checked_reference(reference, known)
    if export_stats is not None:
        write_statistics(export_stats, _statistics(known))
    figures = {
        name: real.compare(_features(rows, space, n), space.distance, seed)
        for name, rows in sets.items()
    }
    notes = {name: real.caution(name, n) for name in figures["samples"]}
    print(f"samples: {samples}\nreference: {reference}\nfeatures: {_described(space, real.dim)}")
    print(_table({**figures, "reference": real.figures}, notes))
    if json is not None:
        report = {
            "samples": str(samples),
            "reference": str(reference),
            "features": features,
            "convention": convention if features == "inception" else None,
            "dimensions": real.dim,
            "n": n,
            "n_reference": real.n,
            **figures["samples"],
            **{f"real_{name}": value for name, value in real.figures.items()},
            "baseline": baseline and {"name": baseline, "fraction": fraction, **figures[baseline]},
            "notes": notes,
        }
        _write(json, report)


def _check_targets(*targets: Path | None) -> None:
    for target in targets:
        if target is not None and not target.parent.is_dir():
            raise FileNotFoundError(f"{target}: there is no folder {target.parent} to write it to")


def _checked(n: int | None, available: int) -> int:
    if n is not None and not 2 <= n <= available:
        raise ValueError(f"n = {n}: must lie in 2..{available}, the samples there are")
    if available < 2:
        raise ValueError(f"samples: there is {available}, and figures need at least 2")
    return n or available


def _read_reference(path: Path | None, images: Rows, space: Features) -> Tensor | Statistics:
    if path is None:
        raise ValueError("reference: missing; name a folder, a store, or an npz with mu and sigma")
    # First of all, since the weights may be missing.
    first = images[torch.arange(1)]
    dim = space(first).shape[1]
    if path.is_file() and path.suffix.lower() != ".zip":
        try:
            return read_statistics(path, dim)
        except ValueError as error:
            raise ValueError(f"reference = {error}") from error
    rows = open_images("reference", path, tuple(first.shape[1:]))
    if len(rows) < 2:
        raise ValueError(f"reference = {path}: holds {len(rows)} image; must hold at least 2")
    return torch.cat(list(feature_blocks(rows, space, bar=True)))


def _checked_reference(path: Path | None, known: Tensor | Statistics) -> Reference:
    try:
        return Reference(known)
    except ValueError as error:
        raise ValueError(f"reference = {path}: {error}") from error


def _features(rows: Rows, space: Features, n: int) -> Tensor:
    return torch.cat(list(feature_blocks(rows, space, n, keep=False, bar=True)))


def _statistics(known: Tensor | Statistics) -> Statistics:
    return known if isinstance(known, Statistics) else Statistics.of(known)


def _described(space: Features, dim: int) -> str:
    if isinstance(space, Inception):
        return f"Inception-v3 (2015-12-05), {dim:,} dimensions, convention {space.convention}"
    return f"{space.name}, {dim:,} dimensions"


def _table(columns: dict[str, Figures], notes: dict[str, str]) -> str:
    lines = [_line("", list(columns), "")]
    for name, note in notes.items():
        values = (figures.get(name) for figures in columns.values())
        cells = ["-" if value is None else f"{value:.5g}" for value in values]
        lines.append(_line(name, cells, note))
    return "\n".join(lines)


def _line(name: str, cells: Sequence[str], note: str) -> str:
    return f"{name:22}{''.join(cell.rjust(13) for cell in cells)}   {note}".rstrip()


def _write(path: Path, report: dict[str, Any]) -> None:
    text = dumps(finite(report), indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(path, lambda file: file.write(f"{text}\n".encode()))
