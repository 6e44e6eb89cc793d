"""`lightning-collapse measure`: finished rounds measured again, or by other measures."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.metrics.families import DEFAULT, NAMES, joined
from lightning_collapse.metrics.features import Features
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.metrics.torch_metrics import Measurable, as_measures
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.lock import RunFolder
from lightning_collapse.runs.measuring import RunMeasuring, with_figures
from lightning_collapse.runs.rewriting import rewrite_records

__all__ = ["main", "measure"]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("measure", measure, arguments, reads=["runs"], classes=NAMES)


def measure(
    runs: list[Path],
    measures: list[Measurable] = [],  # noqa: B006 - never changed
    default_measures: bool = True,
    features: Features | None = None,
) -> None:
    """Measures the finished rounds of runs: their records gain the figures, as if taken in `fit`.

    What the records have of other measures stays. Interrupted, it leaves a run as it was.

    Args:
        runs: folders of runs that are not in use.
        measures: beside the default ones or, of the same class, in their place: names, class
            paths, or {class_path, init_args}; metrics of torchmetrics too.
        default_measures: whether those that `fit` takes by default are measured too.
        features: space of measures that name none; default: that of the run's Fréchet distance.
    """
    for path in runs:
        if not Run(path).rounds:
            raise FileNotFoundError(f"run = {path}: has no finished round; name the folder of one")
    wanted = joined(DEFAULT if default_measures else (), as_measures(measures))
    for path in runs:
        with (folder := RunFolder(path)).locked():
            names = _measured(folder, wanted, features)
        print(f"{path}: {folder.rounds} rounds measured: {', '.join(names)}")


def _measured(run: RunFolder, measures: Sequence[Measure], features: Features | None) -> list[str]:
    measuring = RunMeasuring(run, measures, features, bar=True)
    bar = tqdm(measuring.records, "measuring", unit="round", disable=not sys.stderr.isatty())
    told = [measuring.fields(r) for r, _ in enumerate(bar)]
    pairs = zip(measuring.records, told, strict=True)
    # Only now: whatever has gone wrong before has changed nothing.
    rewrite_records(run, [with_figures(record, fields) for record, fields in pairs])
    beside = ("measured_rows", "cautions"), ("_floor", "_step")
    return [name for name in told[-1] if name not in beside[0] and not name.endswith(beside[1])]
