"""`lightning-collapse analyse stability`: how far one real row moves each generation."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from lightning_collapse.analysis.bound_terms import Terms, runs_terms
from lightning_collapse.analysis.stability import Stability, runs_stability
from lightning_collapse.analysis.stability_figure import draw_stability, draw_terms
from lightning_collapse.analysis.stability_toys import gaussian_stability
from lightning_collapse.commands.arguments import run_command
from lightning_collapse.commands.studies import carry_through, planned
from lightning_collapse.runs.layout import Run
from lightning_collapse.sweeps.study import Study
from lightning_collapse.toys.gaussian_fits import Truth
from lightning_collapse.toys.ranges import at_least, whole_numbers
from lightning_collapse.toys.tables import command_line, open_folder, write_summary

__all__ = ["main", "stability"]

_TOY_ROWS = "200,800"


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("analyse stability", stability, arguments)


def stability(
    config: Path | None = None,
    toy: Literal["gaussian"] | None = None,
    n: str | None = None,
    swaps: int = 4,
    rounds: int = 10,
    set: dict[str, Any] | None = None,
    devices: str | None = None,
    synthetic_fraction: float = 0.9,
    replicas: int = 2000,
    seed: int = 0,
    trust_class: str | None = None,
    out: Path = Path("runs/stability"),
) -> None:
    """Measures recursive stability: how far one exchanged real row moves each generation.

    All chance stays the same; beside it stands how far other chance moves it. Of a configuration:
    by runs, which go on where they were stopped, with the terms of a bound on generalisation that
    can be computed, one by one. Of the Gaussian loop: beside theory. Writes summary.json and
    figures.

    Args:
        config: configuration of `fit`, whose runs are made below the folder.
        toy: in place of runs, the Gaussian loop, by Replace.
        n: numbers of training rows, separated by commas; default: the configuration's own, or
            200,800 for the toy.
        swaps: J, rows exchanged one by one: the first ones, which regimes keep longest.
        rounds: K, from round 0.
        set: further options of the runs, such as '{"data.batch_size": 64}'.
        devices: of the runs, such as 0,1 or cpu,cpu. Default: as `sweep`.
        synthetic_fraction: λ of the toy.
        replicas: of the toy, at least 2.
        seed: of the split and of chance; other chance is that of the next seed.
        trust_class: class of the runs' network, such as mine.Net, if it is not of this package.
        out: folder for the results.
    """
    if (toy is None) == (config is None):
        raise ValueError("config: name the configuration of the runs, or else --toy gaussian")
    at_least("rounds", rounds, 1)
    at_least("swaps", swaps, 1)
    sizes = whole_numbers("n", n or _TOY_ROWS) if n or toy else []
    for size in sizes:
        at_least("n", size, 2)
    if config is None:
        at_least("replicas", replicas, 2)
        if not 0 <= synthetic_fraction <= 1:
            raise ValueError(f"synthetic_fraction = {synthetic_fraction:g}: must lie in [0, 1]")
        open_folder(out)
        told = [
            gaussian_stability(synthetic_fraction, size, rounds, replicas, Truth(), seed)
            for size in sizes
        ]
        terms: list[Terms] = []
        options: dict[str, Any] = dict(
            toy=toy, synthetic_fraction=synthetic_fraction, replicas=replicas
        )
    else:
        if sizes and swaps > min(sizes):
            raise ValueError(f"swaps = {swaps}: must be at most the {min(sizes)} training rows")
        study = _study(config, sizes, swaps, rounds, set or {}, seed, open_folder(out))
        carry_through(study, devices)
        told, terms = _of_study(study, 2 + swaps, trust_class)
        options = dict(config=config, swaps=swaps, set=set, trust_class=trust_class)
    for one in told:
        _tell(one)
    for part in terms:
        _tell_terms(part)
    rows = ",".join(map(str, sizes)) or None
    command = command_line("analyse stability", **options, n=rows, rounds=rounds, seed=seed)
    write_summary(out, command, stability=told, **({"terms": terms} if terms else {}))
    draw_stability(out, told)
    if terms:
        draw_terms(out, terms)
    print(f"results: {out}")


def _study(
    config: Path,
    sizes: list[int],
    swaps: int,
    rounds: int,
    options: dict[str, Any],
    seed: int,
    out: Path,
) -> Study:
    """Plans the runs of every size: one, the same under other chance, and those with a swap."""
    if not config.is_file():
        raise FileNotFoundError(f"config = {config}: no such file")
    own = {"seed_everything": seed, "data.split_seed": seed}
    runs = {"run": own, "chance": own | {"seed_everything": seed + 1}}
    runs |= {f"swap-{j}": own | {"data.swap": j} for j in range(swaps)}
    plan = {
        "name": "runs",
        "config": os.path.abspath(config),
        # All rounds' checkpoints are read at the end.
        "set": {**options, "trainer.max_epochs": rounds, "loop.keep_checkpoints": None},
        "grid": ({"data.train_rows": sizes} if sizes else {}) | {"run": runs},
    }
    return planned(plan, out)


def _of_study(
    study: Study, each: int, trust_class: str | None
) -> tuple[list[Stability], list[Terms]]:
    runs = [Run(run.folder) for run in study.runs]
    told: list[Stability] = []
    terms: list[Terms] = []
    for first in range(0, len(runs), each):
        base, null, *swapped = runs[first : first + each]
        told += runs_stability(base, null, swapped, trust_class)
        terms.append(runs_terms(base, swapped, trust_class))
    return told, terms


def _tell(one: Stability) -> None:
    heads = ["γ", "low", "high", "largest", "N·γ", "growth", "other chance"]
    columns: list[Iterable[float]] = [one.gamma, one.low, one.high, one.largest]
    columns += [one.n * one.gamma, [float("nan"), *one.growth], one.null]
    if one.theory is not None and one.response is not None and one.exact is not None:
        heads += ["theory", "response", "exact"]
        columns += [one.theory, one.response[0], one.exact]
    print(f"{one.distance}, N = {one.n:,}")
    print(f"{'round':>6}" + "".join(f"{head:>13}" for head in heads))
    for r, line in enumerate(zip(*columns, strict=True)):
        print(f"{r:6}" + "".join(f"{value:13.4g}" for value in line))
    print()


def _tell_terms(one: Terms) -> None:
    """Prints what can be computed of the bound, each term in a column of its own."""
    print(
        f"terms of a bound, N = {one.n:,}, never summed: total variation of real rows and round "
        f"0's at least {one.variation}"
    )
    heads = ["shift", "β", "largest", "M", "M/√N"]
    none = [float("nan")] * len(one.beta)
    columns = [none if one.shift is None else one.shift, one.beta, one.largest]
    columns += [one.loss, one.per_root]
    print(f"{'round':>6}" + "".join(f"{head:>13}" for head in heads) + "  gap")
    for r, line in enumerate(zip(*columns, strict=True)):
        gap = "-" if one.gap is None else str(one.gap[r])
        print(f"{r:6}" + "".join(f"{value:13.4g}" for value in line) + f"  {gap}")
    print()
