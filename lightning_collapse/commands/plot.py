"""`lightning-collapse plot`: a run's table of rounds and its picture."""

from pathlib import Path

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.report.figures import plot_run
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.records import distance_name, table_header, table_line

__all__ = ["main", "plot"]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("plot", plot, arguments, reads=["run"])


def plot(run: Path) -> None:
    """Prints the table of a run's rounds, and draws its collapse.png anew.

    Args:
        run: folder of the run.
    """
    try:
        records = Run(run).records
        print(table_header(distance_name(records[0])))
        for record in records:
            print(table_line(record))
        print(f"picture: {plot_run(Run(run))}")
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"{run}: holds records that cannot be read ({error!r:.300})") from error
