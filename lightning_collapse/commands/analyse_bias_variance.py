"""`lightning-collapse analyse bias-variance`: over the seeds of a condition, or of a toy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lightning_collapse.analysis.bias_variance import (
    RunsSplit,
    common_batch,
    is_crossed,
    split_runs,
    varied,
)
from lightning_collapse.analysis.bias_variance_figure import Curve, draw_curves
from lightning_collapse.analysis.bias_variance_toys import ToySplit, gaussian_splits, ridge_splits
from lightning_collapse.analysis.conditions import Condition, conditions, find_runs
from lightning_collapse.analysis.decompose import LEAST_REPLICAS, Decomposition
from lightning_collapse.analysis.intervals import Interval
from lightning_collapse.commands.arguments import run_command
from lightning_collapse.commands.regime_names import check_regime_name
from lightning_collapse.runs.records import check_runs
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.gaussian_fits import Truth
from lightning_collapse.toys.ranges import at_least, whole_numbers
from lightning_collapse.toys.strong_collapse import Mixture
from lightning_collapse.toys.tables import command_line, open_folder, write_summary

__all__ = ["bias_variance", "main"]

_QUALITY, _NOISE = 1.0, 0.25
_TRUTH = Truth()


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("analyse bias-variance", bias_variance, arguments)


def bias_variance(
    runs: list[Path] | None = None,
    toy: Literal["gaussian", "ridge"] | None = None,
    regime: str = "Replace",
    synthetic_fraction: float = 1.0,
    n: str = "1000",
    rounds: int = 20,
    replicas: int = 2000,
    dim: int = 100,
    penalty: float = 0.1,
    seed: int = 0,
    trust_class: str | None = None,
    out: Path = Path("runs/bias_variance"),
) -> None:
    """Splits the error of runs into bias² and variance over their seeds, round by round.

    Of runs: in their denoisers' outputs on noisy rows that all share, and in the kernel mean
    embeddings of their samples. Of a toy: in its parameters, beside theory. Writes summary.json
    and a figure.

    Args:
        runs: folders of runs, or of many of them; those that differ by seed are one condition.
        toy: in place of runs, a Gaussian in a loop, or ridge regression on a mixture.
        regime: of the Gaussian, such as Replace, or a class path.
        synthetic_fraction: λ of the toy.
        n: rows of the toy; for ridge one or more, separated by commas.
        rounds: of the Gaussian.
        replicas: of the toy, at least 2.
        dim: dimensions of ridge regression.
        penalty: of ridge regression, beside the mean squared error.
        seed: keys the toy.
        trust_class: class of the runs' network, such as mine.Net, if it is not of this package.
        out: folder for the results.
    """
    if (toy is None) == (not runs):
        raise ValueError("runs: name some, or else a --toy")
    at_least("replicas", replicas, 2)
    at_least("rounds", rounds, 1)
    at_least("dim", dim, 1)
    sizes = whole_numbers("n", n)
    check_regime_name(regime)
    check_runs(runs or [])
    if toy is None:
        _of_runs(runs or [], trust_class, out)
        return
    options: dict[str, object] = dict(toy=toy, synthetic_fraction=synthetic_fraction, n=n)
    if toy == "gaussian":
        if len(sizes) > 1:
            raise ValueError(f"n = {n}: must be one number for the Gaussian")
        chosen = condition(regime, synthetic_fraction, sizes[0], rounds)
        open_folder(out)
        splits = gaussian_splits(chosen, rounds, replicas, _TRUTH, seed)
        options |= dict(regime=regime, rounds=rounds)
    else:
        mixture = Mixture(dim, _QUALITY, _NOISE, penalty, replicas, seed)
        open_folder(out)
        splits = [ridge_splits(sizes, synthetic_fraction, mixture)]
        options |= dict(dim=dim, penalty=penalty)
    _tell_toy(splits, "round" if toy == "gaussian" else "rows", out)
    command = command_line("analyse bias-variance", **options, replicas=replicas, seed=seed)
    write_summary(out, command, toy=splits)
    print(f"\nresults: {out}")


def _of_runs(paths: Sequence[Path], trust_class: str | None, out: Path) -> None:
    read = conditions(find_runs(paths))
    for one in read:
        if len(one.runs) < 2:
            raise ValueError(f"runs: {one.name} has one seed, and variance needs at least 2")
    open_folder(out)
    summaries, curves = [], []
    for one in read:
        batch = common_batch(one)
        splits = split_runs(one, batch, trust_class)
        print(f"{_described(one, batch.unseen)}\n")
        for split in splits:
            _tell_rounds(split)
            curves += _curves(one.name, split)
        summaries.append(_summary(one, batch.unseen, splits))
    command = command_line("analyse bias-variance", *paths, trust_class=trust_class)
    write_summary(out, command, conditions=summaries)
    draw_curves(out, curves, "round")
    print(f"results: {out}")


def _described(one: Condition, unseen: bool) -> str:
    seeds = ", ".join(str(replica.seed) for replica in one.runs)
    told = [f"{one.name}: seeds {seeds}; {varied(one)} varied"]
    if why := _without_intervals(one):
        told.append(f"no intervals: {why}")
    if not unseen:
        told.append("outputs are taken on rows that some of the runs have trained on")
    return "; ".join(told)


def _without_intervals(one: Condition) -> str:
    """Says why there are none; "" where there are."""
    if len(one.runs) < LEAST_REPLICAS:
        return f"{len(one.runs)} runs are fewer than {LEAST_REPLICAS}"
    return "runs share real rows, and are not independent" if is_crossed(one) else ""


def _tell_rounds(split: RunsSplit) -> None:
    print(_head("round", split.space))
    for r, (one, crossed) in enumerate(zip(split.rounds, split.crossed, strict=True)):
        if one is not None:
            data = (
                f"  of it data {crossed.data:.4g}, chance {crossed.chance:.4g}" if crossed else ""
            )
            print(f"{_line(r, one)}{data}")
    print(f"{split.why}\n" if split.why else "")


def _tell_toy(splits: Sequence[ToySplit], place: str, out: Path) -> None:
    curves = []
    for split in splits:
        print(f"{_head(place, split.parameter)}{'theory':>14}{'theory':>14}")
        for i, (where, one) in enumerate(zip(split.places, split.splits, strict=True)):
            known = [None if part is None else part[i] for part in (split.bias2, split.variance)]
            cells = "".join(f"{'-' if part is None else f'{part:.5g}':>14}" for part in known)
            print(f"{_line(where, one)}{cells}")
        for name, theory in (("bias2", split.bias2), ("variance", split.variance)):
            curves.append(_curve(f"{split.parameter}: {name}", split.places, split.splits, name))
            if theory is not None:
                curves.append(Curve(f"{split.parameter}: {name}, theory", split.places, theory))
    draw_curves(out, curves, place)


def _head(place: str, what: str) -> str:
    return (
        f"{place:>6}{'error':>12}{'bias²':>12}{'variance':>12}  debiased: bias², variance ({what})"
    )


def _line(where: int, one: Decomposition) -> str:
    plain = f"{where:6}{one.error:12.5g}{one.bias2:12.5g}{one.variance:12.5g}"
    parts = (
        str(interval) if interval else f"{value:.4g}"
        for value, interval in (
            (one.bias2_debiased, one.bias2_interval),
            (one.variance_debiased, one.variance_interval),
        )
    )
    return f"{plain}  {', '.join(parts)}"


def _curves(name: str, split: RunsSplit) -> list[Curve]:
    told = [(r, one) for r, one in enumerate(split.rounds) if one is not None]
    return [
        _curve(f"{name}, {split.space}: {part}", [r for r, _ in told], [s for _, s in told], part)
        for part in ("bias2", "variance")
    ]


def _curve(label: str, places: list[int], splits: Sequence[Decomposition], part: str) -> Curve:
    values = [float(getattr(one, f"{part}_debiased")) for one in splits]
    bands: list[Interval | None] = [getattr(one, f"{part}_interval") for one in splits]
    known = [band for band in bands if band is not None]
    return Curve(label, places, values, known if len(known) == len(values) else None)


def _summary(one: Condition, unseen: bool, splits: Sequence[RunsSplit]) -> dict[str, Any]:
    return {
        "condition": one.name,
        "runs": [str(run) for run in one.runs.values()],
        "varied": varied(one),
        "batch_unseen": unseen,
        "no_intervals": _without_intervals(one),
        "spaces": splits,
    }
