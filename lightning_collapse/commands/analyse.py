"""`lightning-collapse analyse`: from runs to answers with intervals."""

from lightning_collapse.commands.table import dispatch

__all__ = ["main"]

_COMMANDS = {
    "profile": "whether runs collapse, in each of the eight meanings of the word, beside a "
    "control",
    "bias-variance": "bias and variance over the seeds of a condition, round by round, or of a "
    "toy",
    "stability": "how far one exchanged real row moves each generation, by runs or in the "
    "Gaussian loop",
    "min-real": "how few real rows prevent collapse, by runs, or in the Gaussian loop",
    "gmm": "a Gaussian mixture on a run's features as its baseline, round by round",
    "zeta": "what samples cost, by their share and the width of the network",
}


def main(arguments: list[str]) -> None:
    """Runs the analysis that the first argument names."""
    place = "lightning_collapse.commands.analyse_{}:main"
    dispatch("lightning-collapse analyse", place, _COMMANDS, arguments)
