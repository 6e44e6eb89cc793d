"""The front door: `lightning-collapse` and `python -m lightning_collapse`.

Help and mistakes in the command's name are answered before torch is imported, which takes seconds.
"""

import difflib
import sys

from lightning_collapse import __version__

__all__ = ["main"]

_COMMANDS = {
    "fit": "run a recursive experiment, or go on with one",
    "plot": "draw collapse.png and print the table of a run's rounds",
}
_USAGE = (
    "usage: lightning-collapse COMMAND [options]\n\n"
    + "".join(f"  {name:10} {what}\n" for name, what in _COMMANDS.items())
    + "\nlightning-collapse COMMAND --help tells a command's options."
)


def main() -> None:
    """Runs the command named on the command line."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return
    if arguments[0] == "--version":
        print(f"lightning-collapse {__version__}")
        return
    command = arguments[0]
    if command not in _COMMANDS:
        close = difflib.get_close_matches(command, _COMMANDS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        _refuse(f"command = {command}: must be one of {', '.join(_COMMANDS)}{hint}")
    if command == "plot":
        _plot(arguments[1:])
        return
    from lightning_collapse.cli import run_fit

    run_fit(arguments[1:])


def _plot(arguments: list[str]) -> None:
    from pathlib import Path

    usage = "usage: lightning-collapse plot RUN"
    if arguments in (["-h"], ["--help"]):
        print(usage)
        return
    if len(arguments) != 1 or arguments[0].startswith("-"):
        _refuse(f"plot takes the folder of one run; {usage}")
    from lightning_collapse.records import distance_name, read_records, table_header, table_line
    from lightning_collapse.report import plot_run

    run = Path(arguments[0])
    try:
        records = read_records(run)
        print(table_header(distance_name(records[0]).removeprefix("fd_")))
        for record in records:
            print(table_line(record))
        print(f"picture: {plot_run(run)}")
    except OSError as error:
        _refuse(str(error))
    except (ValueError, LookupError) as error:
        _refuse(f"{run}: holds records that cannot be read ({error!r})")


def _refuse(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
