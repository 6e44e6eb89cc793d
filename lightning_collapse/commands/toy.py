"""`lightning-collapse toy`: recursive training where theory knows the answer."""

from lightning_collapse.commands.table import dispatch

__all__ = ["main"]

_TOYS = {
    "gaussian": (
        "lightning_collapse.commands.toy_gaussian:main",
        "a Gaussian fitted to its own samples, any regime and dimension, beside theory",
    ),
    "discrete": (
        "lightning_collapse.commands.toy_discrete:main",
        "categories counted in their own samples, any regime, beside theory",
    ),
    "kde": (
        "lightning_collapse.commands.toy_kde:main",
        "a kernel density estimate of its own samples, any regime, beside theory",
    ),
    "gmm": (
        "lightning_collapse.commands.toy_gmm:main",
        "a mixture of three modes in the plane, fitted by EM to its own samples",
    ),
    "diffusion": (
        "lightning_collapse.commands.toy_diffusion:main",
        "diffusion on points in the plane, learned or exact, beside the mixture fit of the same",
    ),
    "gmm-samples": (
        "lightning_collapse.commands.toy_gmm_samples:main",
        "a mixture fitted once to given or made points, and samples of it",
    ),
    "regression": (
        "lightning_collapse.commands.toy_regression:main",
        "least squares on its own labels, replaced or accumulated, beside theory",
    ),
    "strong-collapse": (
        "lightning_collapse.commands.toy_strong_collapse:main",
        "ridge regression on real and synthetic rows: what a small share costs, beside theory",
    ),
}


def main(arguments: list[str]) -> None:
    """Runs the toy that the first argument names."""
    dispatch("lightning-collapse toy", _TOYS, arguments)
