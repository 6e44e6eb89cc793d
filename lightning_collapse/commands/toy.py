"""`lightning-collapse toy`: recursive training where theory knows the answer."""

from lightning_collapse.commands.table import dispatch

__all__ = ["main"]

_TOYS = {
    "gaussian": (
        "lightning_collapse.commands.toy_gaussian:main",
        "a Gaussian fitted to its own samples, any regime and dimension, beside theory",
    ),
    "gmm": (
        "lightning_collapse.commands.toy_gmm:main",
        "a mixture of three modes in the plane, fitted by EM to its own samples",
    ),
}


def main(arguments: list[str]) -> None:
    """Runs the toy that the first argument names."""
    dispatch("lightning-collapse toy", _TOYS, arguments)
