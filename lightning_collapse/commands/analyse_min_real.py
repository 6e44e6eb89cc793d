"""`lightning-collapse analyse min-real`: how few real rows prevent collapse."""

import math
import os
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, Literal

from lightning_collapse.analysis.conditions import conditions, controls_among, find_runs
from lightning_collapse.analysis.min_real import Bracket, Tried, gaussian_search
from lightning_collapse.analysis.min_real_figure import draw_real_rows, draw_search
from lightning_collapse.analysis.profile import chosen_control
from lightning_collapse.analysis.real_rows import Level, RealRows, of_conditions
from lightning_collapse.commands.arguments import run_command
from lightning_collapse.commands.studies import carry_through, planned
from lightning_collapse.data.foreign.plain_yaml import load_yaml
from lightning_collapse.runs.layout import Run
from lightning_collapse.sweeps.study import PlannedRun
from lightning_collapse.theory.gaussian import min_real_rows
from lightning_collapse.toys.ranges import above, at_least
from lightning_collapse.toys.tables import command_line, open_folder, write_summary

__all__ = ["main", "min_real"]

_TOY_ROWS = 1000
_SHARES = (0.0, 0.1, 0.25, 0.5)
"""Of real rows, beside the control's 1: a log grid, with none."""
_SEEDS = 3
_HOUR = 3600.0


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("analyse min-real", min_real, arguments)


def min_real(
    runs: list[Path] | None = None,
    control: list[Path] | None = None,
    config: Path | None = None,
    toy: Literal["gaussian"] | None = None,
    rounds: int = 8,
    budget: float | None = None,
    set: dict[str, Any] | None = None,
    devices: str | None = None,
    margin: float = 0.25,
    rho: float = 0.9,
    n: int | None = None,
    replicas: int = 4000,
    seed: int = 0,
    out: Path = Path("runs/min_real"),
) -> None:
    """Finds how few real rows, the same in every round, prevent collapse.

    Of runs that differ in that number there are two answers: the least from which on the distance
    is bounded, and the least from which on it is that of the control, within a margin. Runs are
    named, or made of a configuration: none, 1/10, 1/4, 1/2 and all of N rows, with 3 seeds; they
    go on where they were stopped. Of the Gaussian loop: by bisection, beside theory. Writes
    summary.json and a figure.

    Args:
        runs: folders of runs, or of many of them.
        control: the same of runs that retrain on real rows alone; default: those among the runs.
        config: in place of runs, configuration of `fit`, whose runs are made below the folder.
        toy: in place of runs, the Gaussian loop.
        rounds: K of the configuration's runs, from round 0.
        budget: hours that may be spent on the configuration's runs; what is left of them after
            the first 3 seeds is spent on more seeds at the two numbers that bracket the answer.
        set: further options of the configuration's runs, such as '{"data.batch_size": 64}'.
        devices: of the configuration's runs, such as 0,1 or cpu,cpu. Default: as `sweep`.
        margin: excess over the control that is as good as none, as a share of the floor.
        rho: share of the variance that the loop must keep, in (0, 1).
        n: rows of training sets; default: the configuration's data.train_rows, or 1000 for the
            loop.
        replicas: of the loop.
        seed: keys the loop; the first one of the configuration's runs.
        out: folder for the results.
    """
    if [toy is None, config is None, not runs].count(False) != 1:
        raise ValueError("runs: name some, or else --config, or --toy gaussian")
    at_least("n", 3 if n is None else n, 3)
    at_least("replicas", replicas, 2)
    at_least("rounds", rounds, 2)
    above("margin", margin, 0)
    above("budget", 1 if budget is None else budget, 0)
    if not 0 < rho < 1:
        raise ValueError(f"rho = {rho:g}: must lie in (0, 1)")
    if toy is not None:
        _of_toy(rho, n or _TOY_ROWS, replicas, seed, out)
    elif config is not None:
        made = _Search(config, set or {}, n or _rows(config, set or {}), rounds, seed, out)
        told = made.search(devices, margin, budget)
        options = dict(config=config, rounds=rounds, budget=budget, set=set, margin=margin)
        _tell(told, command_line("analyse min-real", **options, n=n, seed=seed), out)
    else:
        options = dict(control=control, margin=margin)
        told = _of_runs(find_runs(runs or []), find_runs(control or []), margin)
        _tell(told, command_line("analyse min-real", *(runs or []), **options), open_folder(out))


def _of_toy(rho: float, n: int, replicas: int, seed: int, out: Path) -> None:
    open_folder(out)
    brackets = gaussian_search(rho, n, replicas, seed)
    theory = {
        one.reference: min_real_rows(n, rho, one.reference != "population") for one in brackets
    }
    for one in brackets:
        _tell_search(one, theory[one.reference], n)
    options = dict(toy="gaussian", rho=rho, n=n, replicas=replicas, seed=seed)
    command = command_line("analyse min-real", **options)
    write_summary(out, command, brackets=brackets, theory=theory)
    draw_search(out, brackets, rho, n)
    print(
        "lower: one-sided 95 % bound of the ratio; drift: of log variance over all rounds, the "
        f"end of its 90 % interval farther from 0; prevented: lower is at least {rho:g}, drift "
        f"within ± {-math.log(rho):.3g}, and so again with fresh chance; theory asks for the mean"
    )
    print(f"results: {out}")


def _tell_search(one: Bracket, theory: int, n: int) -> None:
    print(f"ratio: the mean of the variance at last over that of the {one.reference}")
    print(f"{'m':>6}{'rounds':>8}{'ratio':>9}{'lower':>9}{'drift':>9}  prevented")
    for tried in sorted(one.tried, key=lambda tried: tried.m):
        print(_line(tried))
    print("again, with fresh chance:" if one.again else "")
    for tried in one.again:
        print(_line(tried))
    least = f"more than {one.failing}" if one.passing is None else f"{one.passing}"
    print(f"least m of {n}: {least} ({one.failing} fails); theory, of the mean: {theory}\n")


def _line(one: Tried) -> str:
    numbers = f"{one.ratio:9.4f}{one.ratio_low:9.4f}{one.drift:+9.4f}"
    return f"{one.m:6}{one.rounds:8}{numbers}  {'yes' if one.prevented else 'no'}"


def _of_runs(runs: Sequence[Run], control: Sequence[Run], of_floor: float) -> RealRows:
    chosen, beside = chosen_control(conditions(runs), conditions(control))
    if beside is None:
        raise ValueError(
            "control: there is none; name runs on all real rows, Replace at λ = 0, of the same "
            "seeds"
        )
    return of_conditions(chosen, beside, of_floor)


def _rows(config: Path, options: dict[str, Any]) -> int:
    """The configuration's number of training rows."""
    if not config.is_file():
        raise FileNotFoundError(f"config = {config}: no such file")
    told = load_yaml(config.read_bytes().decode(errors="replace"), f"config = {config}")
    data = told.get("data") if isinstance(told, dict) else None
    rows = options.get("data.train_rows") or (data or {}).get("train_rows")
    if not isinstance(rows, int):
        raise ValueError(f"n: name the number of training rows; {config} has no data.train_rows")
    return rows


class _Search:
    """The runs of a configuration: of the first seeds all, of later ones those at the bracket."""

    def __init__(
        self, config: Path, options: dict[str, Any], n: int, rounds: int, seed: int, out: Path
    ) -> None:
        self._config, self._options, self._n = config, options, n
        self._rounds, self._seed, self._out = rounds, seed, open_folder(out)
        first = range(seed, seed + _SEEDS)
        self._studies = [planned(self._plan("runs", list(first)), out)]

    def search(self, devices: str | None, of_floor: float, budget: float | None) -> RealRows:
        until = None if budget is None else time.monotonic() + _HOUR * budget
        (first,) = self._studies
        carry_through(first, devices, sorted(first.runs, key=_by_seed), until)
        told = self._told(of_floor)
        for seed in count(self._seed + _SEEDS):
            name = f"seed-{seed}"
            spend = until is not None and time.monotonic() < until and not told.is_settled
            if not told.bracket or not (spend or (self._out / name).is_dir()):
                return told
            more = planned(self._plan(name, [seed]), self._out)
            self._studies.append(more)
            if spend:
                ends = {f"{m}" for m in told.bracket}
                wanted = [run for run in more.runs if _is_control(run) or _rows_of(run) in ends]
                carry_through(more, devices, wanted[::-1], until)
            told = self._told(of_floor)
        raise AssertionError

    def _told(self, of_floor: float) -> RealRows:
        done = [Run(run.folder) for one in self._studies for run in one.runs if run.is_done]
        read = conditions(done)
        if not controls_among(read) or all(one.is_real for one in read):
            raise ValueError(
                "budget: is over before the control and one number of real rows were done; the "
                "same command goes on"
            )
        return _of_runs(done, [], of_floor)

    def _plan(self, name: str, seeds: list[int]) -> dict[str, Any]:
        rows = {m: round(m * self._n) for m in _SHARES}
        replace = {"data.regime": "Replace"}
        mixed = {
            f"{m}": {**replace, "data.regime.synthetic_fraction": 1 - m / self._n}
            for m in rows.values()
        }
        # The first m rows, which the others keep; each round would train on them anew.
        alone = {
            f"alone-{m}": {
                "data.regime": "Fresh",
                "data.regime.synthetic_fraction": 0,
                "data.regime.size": m,
                "trainer.max_epochs": 1,
            }
            for m in rows.values()
            if m
        }
        return {
            "name": name,
            "config": os.path.abspath(self._config),
            "set": {
                **self._options,
                "data.train_rows": self._n,
                "trainer.max_epochs": self._rounds,
            },
            "grid": {"m": mixed | alone, "seed": seeds},
            "control": {"data.regime": "Replace", "data.regime.synthetic_fraction": 0},
        }


def _rows_of(run: PlannedRun) -> str:
    return dict(run.cell.labels).get("m", "")


def _is_control(run: PlannedRun) -> bool:
    return "control" in dict(run.cell.labels)


def _by_seed(run: PlannedRun) -> tuple[int, bool]:
    """A seed after the other, each with its control first: whenever it ends, pairs are told."""
    return run.cell.seed or 0, not _is_control(run)


def _tell(told: RealRows, command: str, out: Path) -> None:
    print(
        f"{told.figure}: excess over the control of N = {told.n:,}; margin {told.margin:.3g}, "
        f"{told.of_floor:g} of the floor; one-sided 95 % bounds, {told.freedom} degrees of freedom"
    )
    for level in told.levels:
        print(_level_line(level))
    for alone in told.alone:
        print(f"{alone.m:>8,} alone  seeds {alone.seeds}: excess {alone.excess or 'not told'}")
    print(f"bounded: {told.bounded_words}")
    print(f"free, of an excess above the margin: {told.free_words}")
    write_summary(out, command, answer=told, bracket=told.bracket)
    draw_real_rows(out, told)
    print(f"results: {out}")


def _level_line(one: Level) -> str:
    words = {True: "bounded", False: "growing", None: "not told"}
    needs = f", needs {one.needed} rounds" if (one.needed or 0) > one.rounds else ""
    free = {True: "free", False: "not free", None: "not told"}[one.free]
    return (
        f"{one.m:>8,} real   seeds {one.seeds}: excess {one.excess or '-'}, {free}; rise "
        f"{one.rise or '-'}, {words[one.bounded]}{needs}; {one.verdict.word}"
    )
