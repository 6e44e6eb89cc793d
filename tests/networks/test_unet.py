"""Parity with NVIDIA's outputs, and what the U-Net must satisfy whatever its weights."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from lightning_collapse.networks.edm import EDMLoss, EDMPrecond
from lightning_collapse.networks.layers import Conv, Dropout, UNetBlock
from lightning_collapse.networks.unet import ddpmpp, ncsnpp, nvidia_network

TINY = {"model_channels": 8, "channel_mult": (1, 2, 2), "num_blocks": 1, "attn_resolutions": (4,)}
PRESETS = pytest.mark.parametrize("preset", [ddpmpp, ncsnpp])
NVIDIA = {"img_resolution": 16, "img_channels": 3, "model_type": "SongUNet"}


def randomised(module):
    """Gives weights of ordinary size to layers that start near zero."""
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())) * 0.1)
    return module


@pytest.fixture
def network(reference):
    network = nvidia_network(**reference.init_kwargs).eval()
    network.load_state_dict(reference.weights)
    return network


def test_state_dict_has_nvidias_names_order_and_shapes(network, reference):
    ours = [(name, tuple(t.shape)) for name, t in network.state_dict().items()]
    assert ours == [(name, tuple(t.shape)) for name, t in reference.weights.items()]


def test_outputs_are_nvidias(network, reference):
    t = reference.tensors
    x, sigma, labels = t["x"], t["sigma"], t.get("class_labels")
    with torch.no_grad():
        ours = {
            "D": network(x, sigma, labels),
            "D_scalar_sigma": network(x, torch.tensor(1.5), labels),
            "D_augment_labels": network(x, sigma, labels, t["augment_labels"]),
            "F_raw_model": network.model(x, sigma.log() / 4, labels),
        }
    for name in ours.keys() & t.keys():
        torch.testing.assert_close(ours[name], t[name], rtol=0, atol=1e-5, msg=name)
    assert ours.keys() & t.keys() >= {"D", "D_augment_labels", "F_raw_model"}


def test_loss_is_nvidias(network, reference):
    if "loss_noaug" not in reference.tensors:
        pytest.skip("only edm_small's reference has a loss: give its folder as --fixtures-dir")
    images = reference.tensors["images_uint8"] / 127.5 - 1
    loss = EDMLoss()
    torch.manual_seed(6)
    with torch.no_grad():
        ours = loss(network, images, *loss.draw(tuple(images.shape)))
    # The weight is near 1,000 at these low noise levels, so errors are relative.
    torch.testing.assert_close(ours, reference.tensors["loss_noaug"], rtol=1e-5, atol=1e-5)


def test_afhq_network_has_nvidias_entries():
    path = Path(__file__).parents[1] / "fixtures" / "state_dict_keys_afhq.txt"
    with torch.device("meta"):
        network = EDMPrecond(ddpmpp(64, 3, augment_dim=9))
    entries = [f"{k} {tuple(t.shape)} {t.dtype}" for k, t in network.state_dict().items()]
    assert entries == path.read_text().splitlines()
    assert len(entries) == 553
    assert sum(p.numel() for p in network.parameters()) == 61_805_571


@PRESETS
@pytest.mark.parametrize("channels", [1, 3])
def test_every_parameter_learns(preset, channels):
    network = randomised(preset(16, channels, label_dim=3, augment_dim=9, **TINY))
    x = torch.randn(2, channels, 16, 16)
    out = network(x, torch.zeros(2), torch.tensor([0, 2]), torch.randn(2, 9))
    assert out.shape == x.shape
    out.square().sum().backward()
    still = [name for name, p in network.named_parameters() if not p.grad.abs().sum() > 0]
    assert still == []


@PRESETS
def test_labels_that_are_not_given_are_zeros(preset):
    network = randomised(preset(16, 3, label_dim=3, augment_dim=9, **TINY)).eval()
    x = torch.randn(2, 3, 16, 16)
    out = network(x, torch.zeros(2))
    assert torch.equal(out, network(x, torch.zeros(2), torch.zeros(2, 3), torch.zeros(2, 9)))
    # DDP fails on a parameter without a gradient.
    out.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@PRESETS
def test_starts_near_zero_output(preset):
    torch.manual_seed(0)
    out = preset(16, 3, **TINY)(torch.randn(2, 3, 16, 16), torch.zeros(2))
    assert 0 < out.abs().max() < 1e-3


def test_initial_spread_is_glorots():
    torch.manual_seed(0)
    block = UNetBlock(32, 64, 128, 0.0, True, "", (1, 1))
    glorot = (2 / (9 * (64 + 64))) ** 0.5
    std = {name: p.std().item() for name, p in block.state_dict().items() if p.ndim > 1}
    assert std["conv1.weight"] == pytest.approx(1e-5 * glorot, rel=0.02)
    assert std["proj.weight"] == pytest.approx(1e-5 * (1 / 64) ** 0.5, rel=0.02)
    # Three 64 -> 64 maps of variance scale 0.1.
    assert std["qkv.weight"] == pytest.approx((0.1 / 64) ** 0.5, rel=0.02)
    assert std["affine.weight"] == pytest.approx((2 / (128 + 64)) ** 0.5, rel=0.02)
    assert not any(p.any() for name, p in block.named_parameters() if name.endswith("bias"))


@PRESETS
def test_class_indices_are_one_hot_vectors_and_none_is_no_class(preset):
    network = randomised(preset(16, 3, label_dim=4, **TINY)).eval()
    x, c_noise = torch.randn(2, 3, 16, 16), torch.zeros(2)
    index, vectors = torch.tensor([1, 3]), torch.eye(4)[[1, 3]]
    assert torch.equal(network(x, c_noise, index), network(x, c_noise, vectors))
    assert torch.equal(network(x, c_noise), network(x, c_noise, torch.zeros(2, 4)))
    assert not torch.allclose(network(x, c_noise), network(x, c_noise, index))


def test_label_dropout_trains_without_class():
    network = randomised(ddpmpp(16, 3, label_dim=4, label_dropout=1.0, dropout=0.0, **TINY))
    x, c_noise, index = torch.randn(2, 3, 16, 16), torch.zeros(2), torch.tensor([1, 3])
    assert torch.equal(network(x, c_noise, index), network(x, c_noise))
    network.eval()
    assert not torch.equal(network(x, c_noise, index), network(x, c_noise))


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("resample", ["up", "down"])
def test_box_shortcuts_equal_the_filter(kernel, resample):
    conv = randomised(Conv(4, 6, kernel, resample, (1, 1)))
    x = torch.randn(2, 4, 8, 8)
    resampled = conv._filter_up(x) if resample == "up" else conv._filter_down(x)
    expected = F.conv2d(resampled, conv.weight, conv.bias, padding=kernel // 2)
    torch.testing.assert_close(conv(x), expected, rtol=0, atol=1e-5)


def test_attention_is_softmax_over_pixels():
    qkv = torch.randn(2, 3 * 8, 4, 4)
    q, k, v = (qkv[:, i::3].flatten(2) for i in range(3))  # channel-major, q/k/v fastest
    weights = (q.mT @ k / 8**0.5).softmax(dim=2)
    expected = (v @ weights.mT).reshape(2, 8, 4, 4)
    torch.testing.assert_close(UNetBlock._attend(qkv), expected, rtol=0, atol=1e-5)


def test_dropout_keeps_its_share_and_its_mean():
    torch.manual_seed(0)
    dropout = Dropout(0.25)
    x = torch.ones(100_000, requires_grad=True)
    out = dropout(x)
    out.sum().backward()
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (out == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert torch.equal(x.grad, out)
    assert torch.equal(dropout.eval()(x), x)


def test_digits_network():
    network = ddpmpp(8, 1, model_channels=16, channel_mult=(1, 2), num_blocks=2)
    assert network(torch.randn(2, 1, 8, 8), torch.zeros(2)).shape == (2, 1, 8, 8)
    assert 200_000 < sum(p.numel() for p in network.parameters()) < 300_000


@PRESETS
def test_traces_without_graph_break(preset):
    network = randomised(EDMPrecond(preset(16, 3, label_dim=3, augment_dim=9, **TINY))).eval()
    x, sigma = torch.randn(2, 3, 16, 16), torch.tensor([0.1, 2.0])
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    labels = (torch.tensor([0, 2]), torch.randn(2, 9))
    torch.testing.assert_close(compiled(x, sigma, *labels), network(x, sigma, *labels))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model_type": "DhariwalUNet"}, "model_type='DhariwalUNet' .*allowed: SongUNet"),
        ({"decoder_type": "skip"}, "decoder_type='skip' .*allowed: standard"),
        ({"encoder_type": "skip"}, "encoder_type='skip' .*allowed: standard, residual"),
        ({"embedding_type": "sin"}, "embedding_type='sin' .*allowed: positional, fourier"),
        ({"chanel_mult": [1, 2]}, r"chanel_mult=\[1, 2\] .*allowed: .*channel_mult, "),
        ({"in_channels": 3}, "in_channels=3 "),
        ({"img_resolution": 28}, "img_resolution=28 cannot be halved 3 times"),
    ],
)
def test_errors_are_one_line(wrong, message):
    with pytest.raises(ValueError) as error:
        nvidia_network(**{**NVIDIA, **wrong})
    assert re.match(message, str(error.value))
    assert "\n" not in str(error.value)
