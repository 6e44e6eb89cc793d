"""`lightning-collapse analyse gmm`: a Gaussian mixture on a run's features as its baseline."""

from pathlib import Path

import numpy as np

from lightning_collapse.analysis.conditions import conditions, find_runs
from lightning_collapse.analysis.gmm import DIFFUSION, HELD_OUT, MIXTURE, Baseline, baseline
from lightning_collapse.analysis.gmm_figure import draw_baselines
from lightning_collapse.analysis.intervals import t_interval
from lightning_collapse.commands.arguments import run_command
from lightning_collapse.metrics.features import Features
from lightning_collapse.toys.ranges import at_least
from lightning_collapse.toys.tables import command_line, open_folder, write_summary

__all__ = ["gmm", "main"]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("analyse gmm", gmm, arguments)


def gmm(
    runs: list[Path],
    components: int | None = None,
    features: Features | None = None,
    reg_covar: float = 1e-6,
    out: Path = Path("runs/gmm"),
) -> None:
    """Runs a Gaussian mixture on the features of a run, and measures it beside the run.

    The mixture has the run's own real rows, split, regime and rounds. Writes summary.json and a
    figure.

    Args:
        runs: folders of runs that differ by seed alone, with their samples.
        components: Gaussians of the mixture; default: as many as there are classes, or 3.
        features: space that the mixture is fitted in, of at most 512 features; default: that of
            the runs' Fréchet distance.
        reg_covar: added to the diagonal of every covariance that is fitted: without it one row
            decides where a feature is constant in all others, as a pixel in the corner is.
        out: folder for the results.
    """
    at_least("components", 1 if components is None else components, 1)
    at_least("reg_covar", reg_covar, 0)
    read = conditions(find_runs(runs))
    if len(read) > 1:
        several = "; ".join(one.name for one in read)
        raise ValueError(f"runs: are of several conditions ({several}); name those of one")
    open_folder(out)
    told = [baseline(run, components, features, reg_covar) for run in read[0].runs.values()]
    space = told[0].space
    distance = next(iter(told[0].figures[DIFFUSION]))
    names = [distance, f"sw2_{space}", f"precision_{space}", f"recall_{space}"]
    print(f"{read[0].name}: {space}, {told[0].n:,} rows a round")
    _tell_figures(told, names)
    _tell_components(told[0])
    options = dict(components=components, features=features and space, reg_covar=reg_covar)
    write_summary(out, command_line("analyse gmm", *runs, **options), runs=told)
    draw_baselines(out, told, names)
    print(f"results: {out}")


def _tell_figures(told: list[Baseline], names: list[str]) -> None:
    print(f"{'round':>6}  {'model':10}" + "".join(f"{name:>28}" for name in names))
    for r in range(len(told[0].figures[DIFFUSION][names[0]])):
        for model in (DIFFUSION, MIXTURE):
            values = [[one.figures[model][name][r] for one in told] for name in names]
            cells = [str(t_interval(x)) if len(x) > 1 else f"{x[0]:.4g}" for x in values]
            print(f"{r:6}  {model:10}" + "".join(f"{cell:>28}" for cell in cells))


def _tell_components(one: Baseline) -> None:
    print(
        "\ncomponents of the real training rows, in the last round: share, shift of the mean, "
        "variance over that of training rows"
    )
    sets = (HELD_OUT, DIFFUSION, MIXTURE)
    print(f"{'':>4}{'training':>10}" + "".join(f"{name:>24}" for name in sets))
    for k in np.argsort(-one.real["shares"]):
        cells = []
        for name in sets:
            part = one.components[name]
            told = part.shares[-1, k], part.shift[-1, k], part.variance[-1, k]
            cells.append("".join(f"{value:8.3f}" for value in told))
        print(f"{k:4}{one.real['shares'][k]:10.3f}" + "".join(cells))
