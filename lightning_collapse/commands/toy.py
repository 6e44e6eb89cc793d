"""`lightning-collapse toy`: recursive training where theory knows the answer."""

from lightning_collapse.commands.table import dispatch

__all__ = ["main"]

_COMMANDS = {
    "gaussian": "a Gaussian fitted to its own samples, any regime and dimension, beside theory",
    "discrete": "categories counted in their own samples, any regime, beside theory",
    "kde": "a kernel density estimate of its own samples, any regime, beside theory",
    "gmm": "a mixture of three modes in the plane, fitted by EM to its own samples",
    "diffusion": "diffusion on points in the plane, learned or exact, beside the mixture fit of "
    "the same",
    "gmm-samples": "a mixture fitted once to given or made points, and samples of it",
    "regression": "least squares on its own labels, replaced or accumulated, beside theory",
    "strong-collapse": "ridge regression on real and synthetic rows: what a small share costs, "
    "beside theory",
}


def main(arguments: list[str]) -> None:
    """Runs the toy that the first argument names."""
    place = "lightning_collapse.commands.toy_{}:main"
    dispatch("lightning-collapse toy", place, _COMMANDS, arguments)
