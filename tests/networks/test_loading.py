"""What describes a network, and the denoisers that are made of descriptions."""

import pytest
import torch
from torch import nn

from lightning_collapse.networks.dit import DiT
from lightning_collapse.networks.edm import EDMPrecond
from lightning_collapse.networks.loading import OURS, make_denoiser
from lightning_collapse.networks.mlp import SigmaMLP
from lightning_collapse.networks.network import describe, is_described
from lightning_collapse.networks.preconditioning import EDM
from lightning_collapse.networks.unet import SongUNet, ddpmpp, ncsnpp

TINY = {"model_channels": 8, "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": []}
MADE = {
    SigmaMLP: SigmaMLP(3, width=8, depth=2, label_dim=4),
    SongUNet: SongUNet(8, 1, 2, augment_dim=9, **TINY),
    ddpmpp: ddpmpp(8, 3, dropout=0.2, **TINY),
    ncsnpp: ncsnpp(8, 3, label_dim=5, **TINY),
    DiT: DiT(8, 3, patch_size=4, width=8, depth=1, num_heads=2, label_dim=5, augment_dim=9),
}


def model_of(network, **options):
    return {"network": describe(network), "sigma_data": 0.5, **options}


@pytest.mark.parametrize("maker", OURS)
def test_each_network_of_ours_is_made_again_from_its_description(maker):
    denoiser = EDMPrecond(MADE[maker], sigma_data=0.6)
    model = model_of(MADE[maker], sigma_data=0.6)
    again = make_denoiser(model, denoiser.state_dict())
    assert str(again.model) == str(denoiser.model)
    assert again.preconditioning == denoiser.preconditioning == EDM(0.6)
    assert again.row_shape == denoiser.row_shape and again.label_dim == denoiser.label_dim
    x, labels = torch.randn(2, *again.row_shape), None
    with torch.no_grad():
        assert torch.equal(again.eval()(x, 0.5, labels), denoiser.eval()(x, 0.5, labels))
    assert describe(again.model) == describe(MADE[maker])


def test_a_preset_is_described_by_all_that_it_was_given():
    given = TINY | {"dropout": 0.2, "label_dropout": 0.1, "label_dim": 3, "channel_mult_emb": 2}
    given |= {"attn_resolutions": [4], "augment_dim": 9}
    found = describe(ncsnpp(8, 3, **given))["init_args"]
    assert {name: list(v) if type(v) is tuple else v for name, v in found.items()} == {
        **given,
        **{"img_resolution": 8, "in_channels": 3, "out_channels": 3, "decoder_type": "standard"},
        **{"embedding_type": "fourier", "channel_mult_noise": 2, "encoder_type": "residual"},
        "resample_filter": [1, 3, 3, 1],
    }


class Kept(nn.Linear):
    def __init__(self, width: int, names: tuple[str, ...] = ("a",), *, table=None) -> None:
        super().__init__(width, width)
        self.width, self.names, self.table = width, names, table or {"a": [1, None]}


class Lost(Kept):
    def __init__(self, size: int) -> None:
        super().__init__(size)


class Open(Kept):
    def __init__(self, width: int, **more) -> None:
        super().__init__(width)


def test_a_network_is_described_by_the_attributes_of_its_arguments_names():
    assert describe(Kept(3)) == {
        "class_path": f"{__name__}.Kept",
        "init_args": {"width": 3, "names": ("a",), "table": {"a": [1, None]}},
    }


@pytest.mark.parametrize(
    ("network", "name"),
    [(Lost(3), "size"), (Open(3), "more"), (Kept(3, table=nn.Linear(1, 1)), "table")],
)
def test_a_network_that_keeps_an_argument_nowhere_says_which(network, name):
    found = describe(network)
    assert found["undescribed"].endswith(f"keeps its argument {name} in no plain attribute")
    assert not is_described(found)
    with pytest.raises(ValueError, match=f"no network by itself .*{name} in no plain"):
        make_denoiser({"network": found, "sigma_data": 0.5}, {})


def test_no_memory_is_taken_for_a_network_that_the_weights_are_not_of():
    weights = EDMPrecond(SigmaMLP(2)).state_dict()
    large = {"dim": 2, "width": 2**20, "depth": 3}
    for class_path, options in [
        ("lightning_collapse.networks.mlp.SigmaMLP", large),
        ("lightning_collapse.networks.unet.ddpmpp", {"img_resolution": 4096, "channels": 256}),
    ]:
        network = {"class_path": class_path, "init_args": options}
        with pytest.raises(ValueError, match="^tensor .*: must be"):
            make_denoiser({"network": network, "sigma_data": 0.5}, weights)


def test_no_memory_is_taken_for_a_class_of_the_users_either():
    network = {"class_path": f"{__name__}.Kept", "init_args": {"width": 2**20}}
    weights = EDMPrecond(Kept(3)).state_dict()
    with pytest.raises(ValueError, match="^tensor .* = .3, 3. .*: must be .1048576, 104"):
        make_denoiser({"network": network, "sigma_data": 0.5}, weights, f"{__name__}.Kept")


def test_a_class_of_a_script_may_be_named_where_it_is_now():
    model = model_of(Kept(3), row_shape=[3])
    model["network"]["class_path"] = "__main__.Kept"
    weights = EDMPrecond(Kept(3)).state_dict()
    denoiser = make_denoiser(model, weights, f"{__name__}.Kept")
    assert isinstance(denoiser.model, Kept) and denoiser.row_shape == (3,)


def test_a_number_beyond_all_floats_is_refused():
    denoiser = EDMPrecond(MADE[SigmaMLP])
    with pytest.raises(ValueError, match="sigma_data = a number of 1329 bits: must be a number"):
        make_denoiser(model_of(MADE[SigmaMLP], sigma_data=10**400), denoiser.state_dict())


def test_weights_that_are_not_finite_are_refused():
    denoiser = EDMPrecond(MADE[SigmaMLP])
    weights = {name: value.clone() for name, value in denoiser.state_dict().items()}
    weights["model.last.weight"][0, 0] = torch.inf
    with pytest.raises(ValueError, match="tensor model.last.weight: must be finite"):
        make_denoiser(model_of(MADE[SigmaMLP]), weights)


def test_defaults_of_a_plain_module():
    denoiser = EDMPrecond(nn.Linear(2, 2))
    assert (denoiser.label_dim, denoiser.augment_dim, denoiser.row_shape) == (0, 0, None)
