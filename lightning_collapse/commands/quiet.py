"""Notes of others that a user can do nothing about, kept off the screen and out of the tests."""

import logging
import warnings

__all__ = ["NOTES", "quieten"]

NOTES = (
    # Workers would read; raw shards are read fastest without.
    ".*does not have many workers",
    # Nothing is logged in the middle of a round.
    ".*smaller than the logging interval",
    # The average, which is in eval mode for good.
    ".*in eval mode at the start of training",
    # Lightning asks torch the old way, in its loaders.
    ".*isinstance.treespec, LeafSpec",
    # A callback that only watched may be left out of what goes on.
    ".*callbacks used to create the checkpoint need to be provided",
    # Said wherever SLURM is installed, also to those who do not use it.
    "The `srun` command is available on your system but is not used",
)
"""Regular expressions for the beginnings of warnings, as `warnings.filterwarnings` takes them."""


def quieten() -> None:
    """Keeps those notes, and what Lightning tells of itself, off the screen."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    for note in NOTES:
        warnings.filterwarnings("ignore", message=note)
