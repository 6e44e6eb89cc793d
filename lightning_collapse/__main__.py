"""The front door: `lightning-collapse` and `python -m lightning_collapse`.

Help and mistakes in the command's name are answered before torch is imported, which takes seconds.
Classes of the user's own are found in the working folder, after everything that is installed.
"""

import os
import sys

from lightning_collapse import __version__
from lightning_collapse.commands.table import dispatch

__all__ = ["main"]

_COMMANDS = {
    "fit": (
        "lightning_collapse.commands.fit:run_fit",
        "run a recursive experiment, or go on with one",
    ),
    "sweep": (
        "lightning_collapse.commands.sweep:main",
        "run all that a plan asks for: regimes, shares, sizes, seeds and their control",
    ),
    "generate": (
        "lightning_collapse.commands.generate:main",
        "make samples of a checkpoint from seeds, as PNG files or a store",
    ),
    "evaluate": (
        "lightning_collapse.commands.evaluate:main",
        "score samples against a reference, or a run: FID, KID, precision, recall, moments",
    ),
    "measure": (
        "lightning_collapse.commands.measure:main",
        "measure a run's finished rounds again, or by other measures",
    ),
    "prepare": (
        "lightning_collapse.commands.prepare:main",
        "import a folder or a zip of images into a store",
    ),
    "export": (
        "lightning_collapse.commands.export:main",
        "write a store's images as PNG files, or as EDM's dataset zip",
    ),
    "plot": (
        "lightning_collapse.commands.plot:main",
        "draw one picture of runs, and print the table of a run's rounds",
    ),
    "report": (
        "lightning_collapse.commands.report:main",
        "write one page of runs: the verdict, curves, samples, and how they were made",
    ),
    "analyse": (
        "lightning_collapse.commands.analyse:main",
        "answers from runs, with intervals: the profile of collapse, bias and variance",
    ),
    "reproduce": (
        "lightning_collapse.commands.reproduce:main",
        "run published claims here, and tell whether they hold",
    ),
    "convert": (
        "lightning_collapse.commands.convert:main",
        "make a safetensors file of NVIDIA's network pickle, or of a run's checkpoint",
    ),
    "toy": ("lightning_collapse.commands.toy:main", "experiments where theory knows the answer"),
    "control": (
        "lightning_collapse.commands.control:main",
        "tell the bias of a sampler by itself, per round and compounded",
    ),
    "pool": (
        "lightning_collapse.commands.pool:main",
        "verify a run's files, repair damaged ones from their recipes",
    ),
    "doctor": (
        "lightning_collapse.commands.doctor:main",
        "tell whether a run can be made here, and what to do if not",
    ),
}


def main() -> None:
    """Runs the command named on the command line."""
    arguments = sys.argv[1:]
    # The last: a file there must not stand in for a module that is installed.
    sys.path.append(os.getcwd())
    if arguments and arguments[0] == "--version":
        print(f"lightning-collapse {__version__}")
        return
    try:
        dispatch("lightning-collapse", _COMMANDS, arguments)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
