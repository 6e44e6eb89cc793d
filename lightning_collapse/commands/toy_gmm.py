"""`lightning-collapse toy gmm`: a Gaussian mixture fitted to its own samples."""

from pathlib import Path
from typing import Any, Literal

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.commands.regime_names import check_regime_name
from lightning_collapse.commands.regime_options import chosen_conditions
from lightning_collapse.metrics.families import NAMES
from lightning_collapse.metrics.torch_metrics import Measurable, as_measures
from lightning_collapse.toys.gmm import Protocol, run_mixtures, summary
from lightning_collapse.toys.gmm_figures import COURSES, ENDS, draw_mixtures
from lightning_collapse.toys.ranges import above, at_least, check_loop
from lightning_collapse.toys.spreads import draw_ends, end_table
from lightning_collapse.toys.tables import command_line, named, open_folder, write_tables

__all__ = ["gmm", "main"]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("toy gmm", gmm, arguments, classes=NAMES)


def gmm(
    lambdas: str | None = None,
    regime: str = "Replace",
    regime_options: dict[str, Any] | None = None,
    n: int = 1000,
    rounds: int = 1000,
    replicas: int = 8,
    seed: int = 0,
    components: int = 3,
    reg_covar: float = 0.0,
    init: Literal["kmeans", "warm"] = "kmeans",
    threshold: float = 2.0,
    measures: list[Measurable] = [],  # noqa: B006 - never changed
    out: Path = Path("runs/toy_gmm"),
) -> None:
    """Fits a mixture to points of three modes in the plane, then to its own samples.

    The modes are at (-4, -4), (0, 4) and (4, -4), each with covariance 0.5·I. Fits are by EM, with
    full covariances. What a round costs grows with the rows it trains on: under Accumulate, with
    the round.

    Args:
        lambdas: λ of each condition, separated by commas; 0 retrains on real points in every
            round. Default: 0.1,0.3,0.5,0.9,1.0, or what the options say.
        regime: which rows a round trains on: Replace, Turnover, Augment, Accumulate,
            AccumulateSubsample, Fresh, or a class path such as mine.Ramp.
        regime_options: options of the regime besides λ, as JSON.
        n: real rows of a replica, N.
        rounds: how many, from round 0.
        replicas: loops of each condition, each on its own real rows.
        seed: keys everything.
        components: Gaussians in the fit.
        reg_covar: added to the diagonal of every covariance; scikit-learn's 1e-6 puts a floor
            under the variance.
        init: start every fit from k-means, as scikit-learn does, or warm from the last fit.
        threshold: a mode counts as covered if a fitted mean is within this distance.
        measures: taken of the samples too: names, class paths, or {class_path, init_args}.
        out: folder for rounds.csv, summary.json and figures.
    """
    given = dict(locals())
    check_loop(n, rounds, replicas, lambdas)
    check_regime_name(regime)
    at_least("components", components, 1)
    at_least("reg_covar", reg_covar, 0)
    above("threshold", threshold, 0)
    taken = tuple(as_measures(measures))
    protocol = Protocol(
        rounds, replicas, seed, components, reg_covar, init, threshold, measures=taken
    )
    wanted = chosen_conditions(regime, regime_options, lambdas, n, rounds, "0.1,0.3,0.5,0.9,1.0")
    for condition in wanted:
        protocol.check(condition)
    open_folder(out)
    courses = [run_mixtures(condition, protocol) for condition in wanted]
    given |= {"measures": named(protocol.measures), "out": None}
    summaries = [summary(c.condition, c.statistics, protocol) for c in courses]
    write_tables(out, command_line("toy gmm", **given), summaries)
    draw_mixtures(out, courses, protocol)
    draw_ends(out, summaries, "sliced_wasserstein", ENDS)
    print(*end_table(summaries, list(COURSES)), sep="\n")
    print(f"results: {out}")
