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
    "fit": "run a recursive experiment, or go on with one",
    "sweep": "run all that a plan asks for: regimes, shares, sizes, seeds and their control",
    "generate": "make samples of a checkpoint from seeds, as PNG files or a store",
    "evaluate": "score samples against a reference, or a run: FID, KID, precision, recall, "
    "moments",
    "measure": "measure a run's finished rounds again, or by other measures",
    "prepare": "import a folder or a zip of images into a store",
    "export": "write a store's images as PNG files, or as EDM's dataset zip",
    "plot": "draw one picture of runs, and print the table of a run's rounds",
    "report": "write one page of runs: the verdict, curves, samples, and how they were made",
    "analyse": "answers from runs, with intervals: the profile of collapse, bias and variance",
    "reproduce": "run published claims here, and tell whether they hold",
    "convert": "make a safetensors file of NVIDIA's network pickle, or of a run's checkpoint",
    "toy": "experiments where theory knows the answer",
    "control": "tell the bias of a sampler by itself, per round and compounded",
    "pool": "verify a run's files, repair damaged ones from their recipes",
    "doctor": "tell whether a run can be made here, and what to do if not",
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
        place = "lightning_collapse.commands.{}:main"
        dispatch("lightning-collapse", place, _COMMANDS, arguments)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
