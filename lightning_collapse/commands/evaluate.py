"""`lightning-collapse evaluate`: samples beside a reference, or the rounds of a run."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from json import dumps
from pathlib import Path
from typing import Any, Literal

import torch

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.commands.figure_table import figure_table
from lightning_collapse.commands.image_sets import open_set
from lightning_collapse.data.files import write_atomically
from lightning_collapse.data.foreign.npz import array_names, is_npz
from lightning_collapse.data.sources.arrays import is_array_file
from lightning_collapse.data.store.manifest import finite
from lightning_collapse.data.store.shards import StoredRows
from lightning_collapse.metrics.baselines import MaskedNoise
from lightning_collapse.metrics.comparison import Comparison
from lightning_collapse.metrics.families import ALWAYS, COMPARED, DEFAULT, NAMES, joined
from lightning_collapse.metrics.features import Features, Inception, Pixels, Points
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.metrics.measuring import Measured, record_of
from lightning_collapse.metrics.statistics import read_statistics, write_statistics
from lightning_collapse.metrics.torch_metrics import Measurable, as_measures
from lightning_collapse.rows import Rows
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.measuring import RunMeasuring
from lightning_collapse.sampling.choice import same_latents
from lightning_collapse.toys.ranges import at_least, share

__all__ = ["evaluate", "main"]

Space = Literal["inception", "pixels", "points"] | Features | None


def main(arguments: list[str]) -> None:
    """Runs the command."""
    reads = ["samples", "reference", "inception"]
    run_command("evaluate", evaluate, arguments, reads=reads, unless=["Digits"], classes=NAMES)


def evaluate(
    samples: Path,
    reference: Path | None = None,
    features: Space = None,
    convention: Literal["nvidia", "pytorch-fid"] = "nvidia",
    n: int | None = None,
    measures: list[Measurable] = [],  # noqa: B006 - never changed
    rounds: list[int] | None = None,
    baseline: Literal["noise", "masked-noise"] | None = None,
    fraction: float = 0.5,
    json: Path | None = None,
    export_stats: Path | None = None,
    inception: Path | None = None,
    download: bool = False,
    follow_links: bool = False,
    seed: int = 0,
) -> None:
    """Prints how far samples are from a reference: FID, KID, precision and recall, and moments.

    Of a run without a reference, prints what its rounds' records tell, measured again by the
    run's own split and n; nothing is written.

    Figures depend on n, the FID most of all: each is printed with what it is worth.

    Args:
        samples: images in a folder, zip, npy or npz; a store, such as RUN/pool/0003; or RUN.
        reference: likewise; or Digits, scikit-learn's, if there is no such file; or an npz with mu
            and sigma, as NVIDIA publishes them, which tells no KID, precision or recall.
        features: space of the figures; a Fréchet distance is called FID in Inception's only.
            Default: Inception's for images; the run's own for a run.
        convention: how images are enlarged for Inception; figures differ slightly.
        n: how many samples, the first ones; default: all. Of the reference, all are taken, but by
            measures of rows: these take as many of both, at most 5,000.
        measures: beside the usual ones or, of the same class, in their place: names, class paths,
            or {class_path, init_args}; metrics of torchmetrics too.
        rounds: of a run; default: all.
        baseline: a worst case, scored beside the samples: as many images of noise (mean 128,
            deviation 60), or the samples with a share of each image's pixels replaced by it.
        fraction: that share, for masked-noise.
        json: file for the figures.
        export_stats: npz for mean and covariance of the reference, in NVIDIA's format.
        inception: file of Inception's weights; default: an installed one, or pytorch-fid's.
        download: fetch Inception's weights (91 MiB) if there are none.
        follow_links: follow a folder's links to what is in it.
        seed: keys the KID's subsets, the directions of projections and the noise.
    """
    at_least("n", 2 if n is None else n, 2)
    share("fraction", fraction)
    _check_targets(json, export_stats)
    known = {"pixels": Pixels(), "points": Points()}
    spaces = {"inception": Inception(inception, convention, download), **known}
    space = spaces[features] if isinstance(features, str) else features
    run = Run(samples)
    if reference is None and run.pool.is_dir():
        _refuse({"n": n, "baseline": baseline, "export_stats": export_stats})
        _evaluate_run(run, as_measures(measures), space, rounds, json)
        return
    rows = open_set("samples", samples, follow_links=follow_links)
    space = space or spaces["inception" if len(_shape(rows)) == 3 else "points"]
    n = _checked(n, len(rows))
    noise = MaskedNoise(rows, 1.0 if baseline == "noise" else fraction, seed)
    comparison = _compared(reference, rows, space, follow_links)
    if export_stats is not None:
        write_statistics(export_stats, comparison.statistics())
    wanted = joined([*map(partial(_keyed, seed), COMPARED)], as_measures(measures))
    told = comparison.measured(wanted, rows, n, _latents(rows))
    beside = None if baseline is None else comparison.measured(wanted, noise, n)
    report = {
        **{"samples": str(samples), "reference": str(reference), "features": space.name},
        "convention": space.convention if isinstance(space, Inception) else None,
        "dimensions": comparison.dim,
        **{"n": n, "n_reference": comparison.n_reference, **record_of(told), "baseline": None},
        "notes": _notes(wanted, told, n),
    }
    sets = {"samples": record_of(told)}
    if beside is not None:
        sets[str(baseline)] = figures = record_of(beside)
        report["baseline"] = {"name": baseline, "fraction": noise.fraction, **figures}
    print(_heading(report, space))
    print(_table(sets, report["notes"]))
    _write(json, report)


def _keyed(seed: int, measure: Measure) -> Measure:
    """The measure with its chance keyed by a seed, where it has any."""
    options: dict[str, Any] = {"seed": seed} if hasattr(measure, "seed") else {}
    return replace(measure, **options)


def _evaluate_run(
    run: Run,
    named: Sequence[Measure],
    space: Features | None,
    rounds: list[int] | None,
    json: Path | None,
) -> None:
    measuring = RunMeasuring(run, joined([*ALWAYS, *DEFAULT], named), space, bar=True)
    known = range(len(measuring.records))
    wanted = list(known) if rounds is None else rounds
    for r in wanted:
        if r not in known:
            raise ValueError(f"rounds = {r}: must lie in 0..{len(known) - 1}, the finished ones")
    told = {r: measuring.fields(r) for r in wanted}
    rows = told[wanted[-1]]["measured_rows"] if wanted else {}
    print(f"run: {run}\nn: {', '.join(f'{n:,} ({name})' for name, n in rows.items())}")
    print(_table({f"round {r}": fields for r, fields in told.items()}, {}))
    _write(json, {"run": str(run), "rounds": [{"round": r, **told[r]} for r in wanted]})


def _refuse(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value is not None:
            raise ValueError(
                f"{name} = {value}: a run's rounds are measured as in its records; name one of "
                "them and a --reference"
            )


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


def _shape(rows: Rows) -> tuple[int, ...]:
    return tuple(rows[torch.arange(1)].shape[1:])


def _compared(path: Path | None, samples: Rows, space: Features, follow_links: bool) -> Comparison:
    if path is None:
        raise ValueError("reference: missing; name a folder, a store, or an npz with mu and sigma")
    # First of all, since the weights may be missing.
    dim = space(samples[torch.arange(1)]).shape[1]
    try:
        if _is_statistics(path):
            return Comparison(read_statistics(path, dim), space)
    except ValueError as error:
        # Of what it holds, which does not name the file.
        named = str(error) if str(path) in str(error) else f"{path}: {error}"
        raise ValueError(f"reference = {named}") from error
    known = open_set("reference", path, _shape(samples), follow_links)
    if len(known) < 2:
        raise ValueError(f"reference = {path}: holds {len(known)} row; must hold at least 2")
    return Comparison(known, space, _latents(known))


def _is_statistics(path: Path) -> bool:
    """Whether a file is to be read as mean and covariance, or to be refused as such."""
    if is_array_file(path):
        return is_npz(path) and not {"mu", "sigma"}.isdisjoint(array_names(path))
    return path.is_file() and path.suffix.lower() not in (".zip", ".parquet")


def _latents(rows: Rows) -> tuple[Any, ...] | None:
    """What a round's samples have their latents from."""
    if not isinstance(rows, StoredRows) or rows.record is None:
        return None
    round = 0 if same_latents(rows.recipe) else rows.record.get("round")
    return rows.recipe.get("seed"), round


def _notes(measures: Sequence[Measure], told: Sequence[Measured], n: int) -> dict[str, str]:
    """What each figure is worth, by its name."""
    notes = {}
    for measure, part in zip(measures, told, strict=True):
        # Others are told in the heading.
        rows = f"n = {part.rows:,}: " if part.rows not in (0, _most(told)) else ""
        for name in part.figures:
            worth = part.cautions.get(name) or measure.caution(name, part.rows or n)
            notes[name] = rows + worth
    return notes


def _most(told: Sequence[Measured]) -> int:
    return max(part.rows for part in told)


def _heading(report: dict[str, Any], space: Features) -> str:
    m, d = report["n_reference"], f"{report['dimensions']:,} dimensions"
    told = "" if m is None else f", {m:,} rows"
    named = space.name
    if isinstance(space, Inception):
        d, named = f"{d}, convention {space.convention}", "Inception-v3 (2015-12-05)"
    some = max(report["measured_rows"].values())
    either = (
        ""
        if {some} == {report["n"], m or some}
        else (f"\nneighbours, kernels and projections: of the first {some:,} rows of either")
    )
    return (
        f"samples: {report['samples']}, n = {report['n']:,}\n"
        f"reference: {report['reference']}{told}\nfeatures: {named}, {d}{either}"
    )


def _table(columns: dict[str, dict[str, Any]], notes: dict[str, str]) -> str:
    """The table, real rows' own figures in a column beside those of samples."""
    real = {
        name.removeprefix("real_"): value
        for name, value in next(iter(columns.values())).items()
        if name.startswith("real_")
    }
    hidden = ("measured_rows", "cautions")
    shown = {
        title: {
            name: value
            for name, value in figures.items()
            if name not in hidden and not name.startswith("real_")
        }
        for title, figures in columns.items()
    }
    return figure_table({**shown, "real": real}, notes)


def _write(path: Path | None, report: dict[str, Any]) -> None:
    if path is None:
        return
    text = dumps(finite(report), indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(path, lambda file: file.write(f"{text}\n".encode()))
