"""Curators: which samples a round trains on, and how much each weighs in the loss.

`curator` has the seam, the others each one way to choose.
"""

from lightning_collapse.curators.curator import Curator, Offer
from lightning_collapse.curators.density import ByDensity
from lightning_collapse.curators.discriminator import ByDiscriminator
from lightning_collapse.curators.entropy import ByEntropy
from lightning_collapse.curators.real_weight import RealWeight

__all__ = ["ByDensity", "ByDiscriminator", "ByEntropy", "Curator", "Offer", "RealWeight"]
