"""Lightning Collapse: recursive training of diffusion models on their own samples.

Names in the order of the loop: data, pool and regimes, networks, sampling, the loop itself.
They are imported on first use, so that importing the package is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_collapse.curators import (
        ByDensity,
        ByDiscriminator,
        ByEntropy,
        Curator,
        Offer,
        RealWeight,
    )
    from lightning_collapse.data.sources.points import DigitComponents, Mixture, Ring
    from lightning_collapse.data.sources.source import Source
    from lightning_collapse.interop.denoisers import load_denoiser
    from lightning_collapse.learners.learner import GaussianMixtureEM, GaussianMLE
    from lightning_collapse.lit.assemble import run
    from lightning_collapse.lit.checkpoint_io import AtomicCheckpointIO
    from lightning_collapse.lit.data import PoolDataModule
    from lightning_collapse.lit.loop import GenerationLoop
    from lightning_collapse.lit.module import CollapseModule
    from lightning_collapse.metrics.classes import Classes
    from lightning_collapse.metrics.copying import Copying, DataCopying
    from lightning_collapse.metrics.coverage import Balls
    from lightning_collapse.metrics.discrepancy import MMD, Energy
    from lightning_collapse.metrics.dispersion import Dispersion
    from lightning_collapse.metrics.distance import SlicedWasserstein
    from lightning_collapse.metrics.diversity import Entropy, KolmogorovSmirnov, Vendi
    from lightning_collapse.metrics.fd import Frechet, FrechetInfinity
    from lightning_collapse.metrics.feature_moments import FeatureMoments
    from lightning_collapse.metrics.features import Features
    from lightning_collapse.metrics.kernel import KernelDistance
    from lightning_collapse.metrics.measure import Measure
    from lightning_collapse.metrics.modes import Modes
    from lightning_collapse.networks.dit import DiT
    from lightning_collapse.networks.edm import DenoisingLoss, EDMLoss, EDMPrecond, Precond
    from lightning_collapse.networks.mlp import SigmaMLP
    from lightning_collapse.networks.noise import LogNormal, LogUniform, NoiseLevels, UniformTime
    from lightning_collapse.networks.preconditioning import EDM, VE, VP, Preconditioning
    from lightning_collapse.networks.unet import SongUNet, ddpmpp, ncsnpp, nvidia_network
    from lightning_collapse.pool import Pool
    from lightning_collapse.regimes import (
        Accumulate,
        AccumulateSubsample,
        Augment,
        Fresh,
        FreshAccumulate,
        Growing,
        Regime,
        Replace,
        SlidingWindow,
        Then,
        Turnover,
    )
    from lightning_collapse.runs.layout import Run
    from lightning_collapse.runs.records import read_runs
    from lightning_collapse.sampling.choice import Sampling
    from lightning_collapse.sampling.guide import (
        ClassifierFree,
        Guide,
        NegativeGuidance,
        WeightExtrapolation,
    )
    from lightning_collapse.sampling.inpainting import Inpainting
    from lightning_collapse.sampling.schedules import karras_sigmas, log_uniform_sigmas
    from lightning_collapse.sampling.solvers import (
        dpmpp_2m_sampler,
        dpmpp_3m_sampler,
        euler_sampler,
        heun_sampler,
        unipc_3m_sampler,
    )
    from lightning_collapse.sweeps.study import Study
    from lightning_collapse.toys.generations import generations
    from lightning_collapse.toys.stacked import Replicas
    from lightning_collapse.toys.training import Training

__version__ = "0.1.0"

_WHERE = {
    "data.sources.points": ["DigitComponents", "Mixture", "Ring"],
    "data.sources.source": ["Source"],
    "pool": ["Pool"],
    "regimes": [
        "Regime",
        "Replace",
        "Turnover",
        "Augment",
        "Accumulate",
        "AccumulateSubsample",
        "Fresh",
        "FreshAccumulate",
        "SlidingWindow",
        "Growing",
        "Then",
    ],
    "networks.preconditioning": ["Preconditioning", "EDM", "VP", "VE"],
    "networks.noise": ["NoiseLevels", "LogNormal", "UniformTime", "LogUniform"],
    "networks.edm": ["Precond", "EDMPrecond", "DenoisingLoss", "EDMLoss"],
    "curators": ["Curator", "Offer", "ByEntropy", "ByDensity", "ByDiscriminator", "RealWeight"],
    "networks.unet": ["SongUNet", "ddpmpp", "ncsnpp", "nvidia_network"],
    "networks.mlp": ["SigmaMLP"],
    "networks.dit": ["DiT"],
    "sampling.choice": ["Sampling"],
    "sampling.inpainting": ["Inpainting"],
    "sampling.guide": ["Guide", "ClassifierFree", "NegativeGuidance", "WeightExtrapolation"],
    "sampling.schedules": ["karras_sigmas", "log_uniform_sigmas"],
    "sampling.solvers": [
        "heun_sampler",
        "euler_sampler",
        "dpmpp_2m_sampler",
        "dpmpp_3m_sampler",
        "unipc_3m_sampler",
    ],
    "metrics.classes": ["Classes"],
    "metrics.copying": ["Copying", "DataCopying"],
    "metrics.coverage": ["Balls"],
    "metrics.discrepancy": ["MMD", "Energy"],
    "metrics.dispersion": ["Dispersion"],
    "metrics.distance": ["SlicedWasserstein"],
    "metrics.diversity": ["Entropy", "KolmogorovSmirnov", "Vendi"],
    "metrics.fd": ["Frechet", "FrechetInfinity"],
    "metrics.feature_moments": ["FeatureMoments"],
    "metrics.features": ["Features"],
    "metrics.kernel": ["KernelDistance"],
    "metrics.measure": ["Measure"],
    "metrics.modes": ["Modes"],
    "interop.denoisers": ["load_denoiser"],
    "learners.learner": ["GaussianMLE", "GaussianMixtureEM"],
    "toys.generations": ["generations"],
    "toys.stacked": ["Replicas"],
    "toys.training": ["Training"],
    "runs.layout": ["Run"],
    "runs.records": ["read_runs"],
    "sweeps.study": ["Study"],
    "lit.module": ["CollapseModule"],
    "lit.data": ["PoolDataModule"],
    "lit.loop": ["GenerationLoop"],
    "lit.assemble": ["run"],
    "lit.checkpoint_io": ["AtomicCheckpointIO"],
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "Accumulate",
    "AccumulateSubsample",
    "AtomicCheckpointIO",
    "Augment",
    "Balls",
    "ByDensity",
    "ByDiscriminator",
    "ByEntropy",
    "Classes",
    "ClassifierFree",
    "CollapseModule",
    "Copying",
    "Curator",
    "DataCopying",
    "DenoisingLoss",
    "DiT",
    "DigitComponents",
    "Dispersion",
    "EDM",
    "EDMLoss",
    "EDMPrecond",
    "Energy",
    "Entropy",
    "FeatureMoments",
    "Features",
    "Frechet",
    "FrechetInfinity",
    "Fresh",
    "FreshAccumulate",
    "GaussianMLE",
    "GaussianMixtureEM",
    "GenerationLoop",
    "Growing",
    "Guide",
    "Inpainting",
    "KernelDistance",
    "KolmogorovSmirnov",
    "LogNormal",
    "LogUniform",
    "MMD",
    "Measure",
    "Mixture",
    "Modes",
    "NegativeGuidance",
    "NoiseLevels",
    "Offer",
    "Pool",
    "PoolDataModule",
    "Precond",
    "Preconditioning",
    "RealWeight",
    "Regime",
    "Replace",
    "Replicas",
    "Ring",
    "Run",
    "Sampling",
    "SigmaMLP",
    "SlicedWasserstein",
    "SlidingWindow",
    "SongUNet",
    "Source",
    "Study",
    "Then",
    "Training",
    "Turnover",
    "UniformTime",
    "VE",
    "VP",
    "Vendi",
    "WeightExtrapolation",
    "ddpmpp",
    "dpmpp_2m_sampler",
    "dpmpp_3m_sampler",
    "euler_sampler",
    "generations",
    "heun_sampler",
    "karras_sigmas",
    "load_denoiser",
    "log_uniform_sigmas",
    "ncsnpp",
    "nvidia_network",
    "read_runs",
    "run",
    "unipc_3m_sampler",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
