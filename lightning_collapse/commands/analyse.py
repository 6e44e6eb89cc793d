"""`lightning-collapse analyse`: from runs to answers with intervals."""

from lightning_collapse.commands.table import dispatch

__all__ = ["main"]

_ANALYSES = {
    "profile": (
        "lightning_collapse.commands.analyse_profile:main",
        "whether runs collapse, in each of the eight meanings of the word, beside a control",
    ),
    "bias-variance": (
        "lightning_collapse.commands.analyse_bias_variance:main",
        "bias and variance over the seeds of a condition, round by round, or of a toy",
    ),
    "stability": (
        "lightning_collapse.commands.analyse_stability:main",
        "how far one exchanged real row moves each generation, by runs or in the Gaussian loop",
    ),
    "min-real": (
        "lightning_collapse.commands.analyse_min_real:main",
        "how few real rows prevent collapse, by runs, or in the Gaussian loop",
    ),
    "gmm": (
        "lightning_collapse.commands.analyse_gmm:main",
        "a Gaussian mixture on a run's features as its baseline, round by round",
    ),
    "zeta": (
        "lightning_collapse.commands.analyse_zeta:main",
        "what samples cost, by their share and the width of the network",
    ),
}


def main(arguments: list[str]) -> None:
    """Runs the analysis that the first argument names."""
    dispatch("lightning-collapse analyse", _ANALYSES, arguments)
