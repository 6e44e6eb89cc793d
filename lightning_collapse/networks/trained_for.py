"""What a network was trained for: its preconditioning and its noise levels, as data and made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from lightning_collapse.networks.constructor import check_arguments
from lightning_collapse.networks.edm import Precond
from lightning_collapse.networks.network import describe, is_described, made, named_among
from lightning_collapse.networks.noise import LogNormal, LogUniform, NoiseLevels, UniformTime
from lightning_collapse.networks.preconditioning import EDM, VE, VP, Preconditioning
from lightning_collapse.trust import Trusted, import_trusted

__all__ = ["TrainedFor", "preconditioning_of", "told"]

_PRECONDITIONINGS: tuple[type[Preconditioning], ...] = (EDM, VP, VE)
_NOISES: tuple[type[NoiseLevels], ...] = (LogNormal, UniformTime, LogUniform)


@dataclass(frozen=True)
class TrainedFor:
    """What a network was trained for, without which its outputs mean nothing.

    Attributes:
        preconditioning: by which it is a denoiser.
        noise: the distribution of the noise levels that it has seen.
    """

    preconditioning: Preconditioning
    noise: NoiseLevels

    @classmethod
    def of(cls, model: Mapping[str, Any], trust_class: Trusted = None) -> "TrainedFor":
        """Reads what a checkpoint or the section `model` of a configuration says.

        Args:
            model: `preconditioning` and `noise`, each a class with its arguments; or, where there
                is none or null, EDM's `sigma_data`, `P_mean` and `P_std`.
            trust_class: class of one of them, if it is not of this package, or several.

        Raises:
            ValueError: one is not described, of a class that is not trusted, or cannot be made.
        """
        named = ("sigma_data", "P_mean", "P_std")
        numbers = {name: model[name] for name in named if name in model}
        check_arguments(numbers, 0)
        usual = {name: float(value) for name, value in numbers.items()}
        scaled = {"sigma_data": usual.pop("sigma_data")} if "sigma_data" in usual else {}
        preconditioning: Preconditioning = EDM(**scaled)
        noise: NoiseLevels = LogNormal(**usual)
        if (told := model.get("preconditioning")) is not None:
            ours = _PRECONDITIONINGS
            preconditioning = _made("preconditioning", told, Preconditioning, ours, trust_class)
        if (told := model.get("noise")) is not None:
            noise = _made("noise", told, NoiseLevels, _NOISES, trust_class)
        return cls(preconditioning, noise)

    @classmethod
    def chosen(
        cls,
        sigma_data: float,
        P_mean: float,
        P_std: float,
        preconditioning: Preconditioning | None,
        noise: NoiseLevels | None,
    ) -> "TrainedFor":
        """Gives what was chosen: EDM by its numbers, but for what takes its place.

        Raises:
            ValueError: a number is out of range, or has no effect beside what was chosen; or this
                cannot be described.
        """
        scaled, usual = EDM(sigma_data), LogNormal(P_mean, P_std)
        for name, value, default, instead, other in [
            ("sigma_data", sigma_data, EDM.sigma_data, "preconditioning", preconditioning),
            ("P_mean", P_mean, LogNormal.P_mean, "noise", noise),
            ("P_std", P_std, LogNormal.P_std, "noise", noise),
        ]:
            if other is not None and value != default:
                raise ValueError(
                    f"{name} = {value}: has no effect with {instead} = {type(other).__name__}; "
                    "leave one of them out"
                )
        made = cls(preconditioning or scaled, noise or usual)
        made.described()  # as every checkpoint will have it
        return made

    def described(self) -> dict[str, Any]:
        """Gives what `of` reads: plain values.

        Raises:
            ValueError: a class keeps an argument in no plain attribute of its name.
        """
        scaled, levels = self.preconditioning, self.noise
        made: dict[str, Any] = {}
        if type(scaled) is EDM:
            made["sigma_data"] = scaled.sigma_data
        else:
            made["preconditioning"] = preconditioning_of(scaled)
        if type(levels) is LogNormal:
            made |= {"P_mean": levels.P_mean, "P_std": levels.P_std}
        else:
            made["noise"] = _described("noise", levels)
        return made

    def wrap(self, network: nn.Module) -> Precond:
        """Makes a denoiser of a network, which knows the noise levels that it serves."""
        return Precond(network, self.preconditioning, *self.noise.levels)


def preconditioning_of(of: Preconditioning) -> dict[str, Any] | None:
    """Describes a preconditioning in plain values; None for EDM's, whatever its sigma_data.

    Raises:
        ValueError: its class keeps an argument in no plain attribute of its name.
    """
    return None if type(of) is EDM else _described("preconditioning", of)


def told(of: Preconditioning | NoiseLevels) -> str:
    """Writes what a record says: `VP(beta_d=19.9, …)`."""
    options = describe(of).get("init_args", {}).items()
    return f"{type(of).__name__}({', '.join(f'{name}={value!r}' for name, value in options)})"


def _described(name: str, of: Preconditioning | NoiseLevels) -> dict[str, Any]:
    told = describe(of)
    if not is_described(told):
        raise ValueError(f"{name}: {told['undescribed']}, by which checkpoints describe it")
    return told


def _made(what: str, told: Any, base: type, ours: Sequence[type], trust_class: Trusted) -> Any:
    if not is_described(told):
        raise ValueError(f"{what} = {told!r:.80}: describes none")
    class_path, names = str(told["class_path"]), [kind.__name__ for kind in ours]
    kind: Any = named_among(ours, class_path)
    kind = kind or import_trusted(what, class_path, names, trust_class)
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise ValueError(f"{what} = {class_path:.60}: what is trusted by that name is none")
    return made(what, kind, told.get("init_args") or {})
