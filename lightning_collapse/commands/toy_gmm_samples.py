"""`lightning-collapse toy gmm-samples`: a Gaussian mixture fitted once, and samples of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.data.files import write_atomically
from lightning_collapse.data.foreign.npz import read_array
from lightning_collapse.learners.mixtures import Mixtures, refit, sample_mixtures
from lightning_collapse.metrics.distance import (
    directions,
    sliced_wasserstein,
    sorted_projections,
)
from lightning_collapse.seeds import generator, key
from lightning_collapse.toys.figures import new_figure, save_figure
from lightning_collapse.toys.gmm import Protocol
from lightning_collapse.toys.gmm_figures import REAL, SAMPLES, draw_fit, draw_points
from lightning_collapse.toys.ranges import at_least
from lightning_collapse.toys.tables import open_folder

__all__ = ["gmm_samples", "main"]

Array = NDArray[np.float64]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("toy gmm-samples", gmm_samples, arguments, reads=["data"])


def gmm_samples(
    data: Path | None = None,
    n: int = 1000,
    samples: int = 1000,
    components: int = 3,
    reg_covar: float = 0.0,
    seed: int = 0,
    out: Path = Path("runs/toy_gmm_samples"),
) -> None:
    """Fits a mixture with full covariances to points by EM, and draws samples of it.

    Writes samples.npz (samples, labels, training), mixture.npz (weights, means, covariances), the
    same as mixture.json, statistics.json, and a picture. No file holds a pickle.

    Args:
        data: an npz with the points to fit as `rows` (n, d); default: points of three modes in the
            plane, at (-4, -4), (0, 4) and (4, -4), each with covariance 0.5·I.
        n: points to make where there are no data.
        samples: rows to draw from the fit.
        components: Gaussians in the fit.
        reg_covar: added to the diagonal of every covariance.
        seed: keys the points that are made, k-means and the samples.
        out: folder for the results.
    """
    at_least("n", n, 2)
    at_least("samples", samples, 2)
    at_least("components", components, 1)
    at_least("reg_covar", reg_covar, 0)
    rows = Protocol(1).real_rows(n, seed) if data is None else _read_rows(data)
    fit = refit(rows[None], components, None, [key(seed, "kmeans", 0)], reg_covar=reg_covar)
    drawn, labels = sample_mixtures(fit, samples, [generator(seed, "sample", 0)])
    open_folder(out)
    parameters = {
        "weights": fit.weights[0],
        "means": fit.means[0],
        "covariances": fit.covariances[0],
    }
    _save_arrays(out / "samples.npz", samples=drawn[0], labels=labels[0], training=rows)
    _save_arrays(out / "mixture.npz", **parameters)
    _save_json(out / "mixture.json", {name: value.tolist() for name, value in parameters.items()})
    _save_json(out / "statistics.json", _statistics(rows, drawn[0], labels[0], fit, seed))
    _draw(out, rows, drawn[0], fit)
    print(f"results: {out}")


def _read_rows(path: Path) -> Array:
    rows = np.asarray(read_array(path, "rows", (None, None)), np.float64)
    if len(rows) < 2 or rows.shape[1] < 1:
        raise ValueError(f"data = {path}: rows must be at least 2 of at least 1, got {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError(f"data = {path}: rows must be finite")
    return rows


def _statistics(
    rows: Array, samples: Array, labels: NDArray[np.int64], fit: Mixtures, seed: int
) -> dict[str, Any]:
    unit = directions(rows.shape[1], 50, seed)
    apart = sliced_wasserstein(sorted_projections(rows, unit), sorted_projections(samples, unit))
    sets = {"training": rows, "samples": samples}
    return {
        **{f"{name}_n": len(x) for name, x in sets.items()},
        **{f"{name}_mean": x.mean(0).tolist() for name, x in sets.items()},
        **{
            f"{name}_covariance": np.atleast_2d(np.cov(x.T, bias=True)).tolist()
            for name, x in sets.items()
        },
        "samples_of_component": np.bincount(labels, minlength=fit.weights.shape[1]).tolist(),
        "collapsed": fit.collapsed[0].tolist(),
        "sliced_wasserstein": float(apart),
    }


def _save_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    write_atomically(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def _save_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def _draw(out: Path, rows: Array, samples: Array, fit: Mixtures) -> None:
    figure = new_figure(4.8, 4.8)
    axes = figure.subplots()
    if rows.shape[1] == 1:
        axes.hist(rows[:, 0], 60, density=True, color=REAL, alpha=0.6, label="training")
        axes.hist(samples[:, 0], 60, density=True, histtype="step", color=SAMPLES, label="samples")
        axes.set(xlabel="x", ylabel="density")
    else:
        draw_points(axes, rows, REAL, f"training, {len(rows)}")
        draw_points(axes, samples, SAMPLES, f"samples, {len(samples)}")
        draw_fit(axes, fit)
        axes.set(xlabel="x₁", ylabel="x₂", aspect="equal")
    axes.legend(fontsize=8, markerscale=3)
    save_figure(figure, out, "samples")
