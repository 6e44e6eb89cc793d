"""The course of a round's training in images seen: its learning rate, and its average's memory."""

__all__ = ["ema_decay", "rate_factor"]


def rate_factor(seen: int, ramp: float) -> float:
    """Gives the share of the full learning rate at a step.

    Args:
        seen: images of the round before the step.
        ramp: images over which the rate rises from 0; 0 for none.
    """
    return min(1.0, seen / ramp) if ramp else 1.0


def ema_decay(seen: int, images: int, rampup: float, halflife: int | None = None) -> float:
    """Gives the weight that the moving average keeps in a step, in [0, 1).

    The half-life grows with the round, as in Karras et al.'s code for EDM (2022), so that a short
    retraining is averaged as it should be.

    Args:
        seen: images of the round before the step.
        images: of the step.
        rampup: half-life as a share of `seen`.
        halflife: the longest one, in images; None for no limit.
    """
    longest = rampup * seen
    if halflife is not None:
        longest = min(longest, halflife)
    return float(0.5 ** (images / max(longest, 1e-8)))
