"""The U-Nets DDPM++ and NCSN++, under the parameter names of NVIDIA's EDM checkpoints.

Song et al., "Score-Based Generative Modeling through Stochastic Differential Equations", 2021,
https://arxiv.org/abs/2011.13456, Appendix H, as configured by Karras et al., 2022,
https://arxiv.org/abs/2206.00364, Table 7. They are raw networks F(x, c_noise): wrap them in
`EDMPrecond`. Not here: the ADM network of Dhariwal & Nichol, and output skips.
"""

import inspect
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_collapse.networks.edm import EDMPrecond
from lightning_collapse.networks.layers import (
    NEAR_ZERO,
    SKIP_SCALE,
    BlurredStridedConv,
    Conv,
    FourierEmbedding,
    Linear,
    PositionalEmbedding,
    UNetBlock,
    group_norm,
    with_labels,
)

__all__ = ["SongUNet", "ddpmpp", "ncsnpp", "nvidia_network"]

# SongUNet's arguments that NVIDIA's wrapper derives from img_resolution, img_channels, label_dim.
FIXED_BY_IMAGE = {"img_resolution", "in_channels", "out_channels", "label_dim"}


class SongUNet(nn.Module):
    """Predicts EDM's training target from a scaled noisy image: F(x, c_noise).

    Args:
        img_resolution: side of the image, in pixels.
        in_channels: channels of the input.
        out_channels: channels of the output.
        label_dim: number of classes; 0 ignores class labels.
        augment_dim: width of augmentation labels; 0 ignores them.
        model_channels: channels at full resolution, per unit of `channel_mult`.
        channel_mult: channels per resolution, from full resolution down by halves.
        channel_mult_emb: width of the noise embedding, in `model_channels`.
        num_blocks: residual blocks per resolution (one more in the decoder).
        attn_resolutions: sides, in pixels, at which blocks have self-attention.
        dropout: probability of zeroing an activation inside a block.
        label_dropout: probability of training a row without its class label.
        embedding_type: of the noise level, `positional` (DDPM++) or `fourier` (NCSN++).
        channel_mult_noise: width of the noise level's features, in `model_channels`.
        encoder_type: `standard` (DDPM++) or `residual` (NCSN++: the input joins at each side).
        decoder_type: `standard`.
        resample_filter: one-dimensional filter of up- and down-sampling.
    """

    def __init__(
        self,
        img_resolution: int,
        in_channels: int,
        out_channels: int,
        label_dim: int = 0,
        augment_dim: int = 0,
        model_channels: int = 128,
        channel_mult: Sequence[int] = (1, 2, 2, 2),
        channel_mult_emb: int = 4,
        num_blocks: int = 4,
        attn_resolutions: Sequence[int] = (16,),
        dropout: float = 0.10,
        label_dropout: float = 0.0,
        embedding_type: str = "positional",
        channel_mult_noise: int = 1,
        encoder_type: str = "standard",
        decoder_type: str = "standard",
        resample_filter: Sequence[int] = (1, 1),
    ) -> None:
        super().__init__()
        _check("embedding_type", embedding_type, "positional", "fourier")
        _check("encoder_type", encoder_type, "standard", "residual")
        _check("decoder_type", decoder_type, "standard")
        if img_resolution % 2 ** (len(channel_mult) - 1):
            raise ValueError(
                f"img_resolution={img_resolution} cannot be halved {len(channel_mult) - 1} times, "
                f"as channel_mult={tuple(channel_mult)} asks"
            )
        # All that it is made from, by which checkpoints describe it.
        self.img_resolution, self.in_channels = img_resolution, in_channels
        self.out_channels, self.label_dim, self.augment_dim = out_channels, label_dim, augment_dim
        self.model_channels, self.channel_mult = model_channels, tuple(channel_mult)
        self.channel_mult_emb, self.channel_mult_noise = channel_mult_emb, channel_mult_noise
        self.num_blocks, self.attn_resolutions = num_blocks, tuple(attn_resolutions)
        self.dropout, self.label_dropout = dropout, label_dropout
        self.embedding_type, self.resample_filter = embedding_type, tuple(resample_filter)
        self.encoder_type, self.decoder_type = encoder_type, decoder_type

        noise_channels = model_channels * channel_mult_noise
        emb_channels = model_channels * channel_mult_emb
        self.map_noise: nn.Module = (
            PositionalEmbedding(noise_channels)
            if embedding_type == "positional"
            else FourierEmbedding(noise_channels)
        )
        if label_dim:
            self.map_label = Linear(label_dim, noise_channels)
        if augment_dim:
            self.map_augment = Linear(augment_dim, noise_channels, bias=False)
        self.map_layer0 = Linear(noise_channels, emb_channels)
        self.map_layer1 = Linear(emb_channels, emb_channels)

        # The order in which modules enter is the order of NVIDIA's state dict.
        self.enc, skips = self._encoder()
        self.dec = self._decoder(skips)

    @property
    def row_shape(self) -> tuple[int, int, int]:
        """Shape of an image (in_channels, img_resolution, img_resolution)."""
        return self.in_channels, self.img_resolution, self.img_resolution

    def _block(
        self, c_in: int, c_out: int, attention: bool = False, resample: str = ""
    ) -> UNetBlock:
        emb_channels = self.model_channels * self.channel_mult_emb
        return UNetBlock(
            c_in, c_out, emb_channels, self.dropout, attention, resample, self.resample_filter
        )

    def _encoder(self) -> tuple[nn.ModuleDict, list[int]]:
        """Makes the encoder; gives the channels of the features that the decoder is handed."""
        enc, skips = nn.ModuleDict(), []
        channels = pyramid = self.in_channels
        for level, mult in enumerate(self.channel_mult):
            side = self.img_resolution >> level
            name = f"{side}x{side}"
            if level == 0:
                enc[f"{name}_conv"] = Conv(channels, self.model_channels, 3)
                channels = self.model_channels
            else:
                enc[f"{name}_down"] = self._block(channels, channels, resample="down")
                if self.encoder_type == "residual":
                    aux = BlurredStridedConv(pyramid, channels, self.resample_filter)
                    enc[f"{name}_aux_residual"] = aux
                    pyramid = channels
            skips.append(channels)
            for index in range(self.num_blocks):
                attention = side in self.attn_resolutions
                wide = self.model_channels * mult
                enc[f"{name}_block{index}"] = self._block(channels, wide, attention)
                channels = wide
                skips.append(channels)
        return enc, skips

    def _decoder(self, skips: list[int]) -> nn.ModuleDict:
        """Makes the decoder, given the channels of the encoder's features, which it uses up."""
        dec, channels = nn.ModuleDict(), skips[-1]
        for level, mult in reversed(list(enumerate(self.channel_mult))):
            side = self.img_resolution >> level
            name = f"{side}x{side}"
            if level == len(self.channel_mult) - 1:
                dec[f"{name}_in0"] = self._block(channels, channels, attention=True)
                dec[f"{name}_in1"] = self._block(channels, channels)
            else:
                dec[f"{name}_up"] = self._block(channels, channels, resample="up")
            for index in range(self.num_blocks + 1):
                attention = index == self.num_blocks and side in self.attn_resolutions
                wide = self.model_channels * mult
                dec[f"{name}_block{index}"] = self._block(channels + skips.pop(), wide, attention)
                channels = wide
        dec[f"{name}_aux_norm"] = group_norm(channels)
        dec[f"{name}_aux_conv"] = Conv(channels, self.out_channels, 3, gain=NEAR_ZERO)
        return dec

    def forward(
        self,
        x: Tensor,
        c_noise: Tensor,
        class_labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
    ) -> Tensor:
        """Gives the raw prediction.

        Args:
            x: scaled noisy images (B, in_channels, H, W).
            c_noise: condition on the noise level (B,).
            class_labels: class indices (B,) or vectors (B, label_dim); None is "no class".
            augment_labels: (B, augment_dim); None is "not augmented".

        Returns:
            The prediction (B, out_channels, H, W).
        """
        emb: Tensor = self.map_noise(c_noise)
        emb = with_labels(self, emb, x, class_labels, augment_labels)
        emb = F.silu(self.map_layer1(F.silu(self.map_layer0(emb))))
        pyramid = x
        skips: list[Tensor] = []
        for name, module in self.enc.items():
            if name.endswith("aux_residual"):
                # NCSN++: the input, downsampled by a learned path, joins the features.
                x = pyramid = skips[-1] = (skips[-1] + module(pyramid)) * SKIP_SCALE
            else:
                x = module(x, emb) if isinstance(module, UNetBlock) else module(x)
                skips.append(x)
        for name, module in self.dec.items():
            if isinstance(module, UNetBlock):
                x = module(torch.cat([x, skips.pop()], dim=1) if "block" in name else x, emb)
            else:
                x = F.silu(module(x)) if name.endswith("norm") else module(x)
        return x


def ddpmpp(img_resolution: int, channels: int, **overrides: Any) -> SongUNet:
    """Gives a DDPM++ for square images (EDM's "VP" network); `overrides` as for `SongUNet`."""
    return SongUNet(img_resolution, channels, channels, **overrides)


def ncsnpp(img_resolution: int, channels: int, **overrides: Any) -> SongUNet:
    """Gives an NCSN++ for square images (EDM's "VE" network); `overrides` as for `SongUNet`."""
    return SongUNet(
        img_resolution,
        channels,
        channels,
        embedding_type="fourier",
        channel_mult_noise=2,
        encoder_type="residual",
        resample_filter=(1, 3, 3, 1),
        **overrides,
    )


def nvidia_network(
    *,
    img_resolution: int,
    img_channels: int,
    model_type: str,
    label_dim: int = 0,
    use_fp16: bool = False,
    sigma_min: float = 0.0,
    sigma_max: float = math.inf,
    sigma_data: float = 0.5,
    **unet: Any,
) -> EDMPrecond:
    """Builds a denoiser from the constructor arguments of an NVIDIA EDM checkpoint.

    Args:
        img_resolution: side of the image, in pixels.
        img_channels: channels of the image.
        model_type: `SongUNet`.
        label_dim: number of classes, 0 if unconditional.
        use_fp16: has no effect here: precision belongs to the trainer's autocast.
        sigma_min: smallest noise level served.
        sigma_max: largest noise level served.
        sigma_data: standard deviation of the data.
        unet: further arguments of `SongUNet`.
    """
    _check("model_type", model_type, "SongUNet")
    allowed = sorted(set(inspect.signature(SongUNet).parameters) - FIXED_BY_IMAGE)
    for name, value in unet.items():
        if name not in allowed:
            raise ValueError(f"{name}={value!r} is unknown (allowed: {', '.join(allowed)})")
    network = SongUNet(img_resolution, img_channels, img_channels, label_dim, **unet)
    return EDMPrecond(network, sigma_data, sigma_min, sigma_max)


def _check(name: str, value: str, *allowed: str) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is not supported (allowed: {', '.join(allowed)})")
