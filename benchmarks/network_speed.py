"""Times our network against NVIDIA's own code, at the same size and with the same weights.

    git clone https://github.com/NVlabs/edm /tmp/edm
    python benchmarks/network_speed.py --edm /tmp/edm

NVIDIA's code is only run, as a black box: it is CC BY-NC-SA, and no line of it is in this
repository. The two are timed in turn, A B A B; a ratio above 1 means that ours is faster.
"""

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from types import ModuleType

import torch

from lightning_collapse.networks.augment import AugmentPipe
from lightning_collapse.networks.edm import EDMLoss
from lightning_collapse.networks.unet import nvidia_network

EDM_SMALL = {
    "img_resolution": 32,
    "img_channels": 3,
    "label_dim": 0,
    "use_fp16": False,
    "model_type": "SongUNet",
    "embedding_type": "positional",
    "encoder_type": "standard",
    "decoder_type": "standard",
    "channel_mult_noise": 1,
    "resample_filter": [1, 1],
    "model_channels": 32,
    "channel_mult": [1, 2],
    "augment_dim": 9,
    "dropout": 0.25,
}

AFHQ = {
    "xflip": 1e8,
    "yflip": 1,
    "scale": 1,
    "rotate_frac": 1,
    "aniso": 1,
    "translate_frac": 1,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edm", required=True, help="a checkout of github.com/NVlabs/edm")
    parser.add_argument("--batch", type=int, default=16, help="images per step")
    parser.add_argument("--repeats", type=int, default=15, help="timed pairs")
    args = parser.parse_args()
    theirs = nvidia_module(args.edm, "training.networks").EDMPrecond(**EDM_SMALL)
    their_loss = nvidia_module(args.edm, "training.loss").EDMLoss()
    ours = nvidia_network(**EDM_SMALL)
    print(f"initial weights: {initial_weights(theirs, ours)}")
    perturb(theirs)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(args.batch, 3, 32, 32, generator=torch.Generator().manual_seed(0)) / 2
    sigma = torch.linspace(0.1, 2, args.batch)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {args.batch}")
    print(f"denoiser: largest difference {difference(ours, theirs, x, sigma):.1e}")

    loss = EDMLoss()
    pairs = {
        "training step": (
            training_step(theirs, lambda: their_loss(net=theirs, images=x)),
            training_step(ours, lambda: loss(ours, x, *loss.draw(tuple(x.shape)))),
        ),
        "denoiser": (denoising(theirs, x, sigma), denoising(ours, x, sigma)),
    }
    for name, (their_call, our_call) in pairs.items():
        theirs.train(name != "denoiser")
        ours.train(name != "denoiser")
        report(name, *interleaved(their_call, our_call, args.repeats))
    augmentation(args.edm, args.repeats)


def augmentation(path: str, repeats: int) -> None:
    """Turns NVIDIA's labels back into draws, compares what both make of them, and times both."""
    TheirPipe = nvidia_module(path, "training.augment").AugmentPipe
    x = smooth_images(16, 32)
    off = dict.fromkeys(("xflip", "yflip", "scale", "rotate_frac", "aniso", "translate_frac"), 0)
    for name in off:
        torch.manual_seed(2)
        images, labels = TheirPipe(p=1, **{**off, name: 1})(x)
        pipe = AugmentPipe(p=1, **{**off, name: 1})
        errors = torch.stack([rms(pipe(x, d)[0] - images) for d in draws_of(name, labels)])
        change, error = rms(images - x).mean(), errors.amin(dim=0).max()
        print(f"augment {name:14s} changes rms {change:.3f}, largest difference rms {error:.3f}")
    theirs, ours = TheirPipe(p=0.15, **AFHQ), AugmentPipe(p=0.15, **AFHQ)
    pair = interleaved(lambda: theirs(x), lambda: ours(x, ours.draw(len(x))), repeats)
    report("augmentation", *pair)


def draws_of(name: str, labels: torch.Tensor) -> list[torch.Tensor]:
    """Gives the draws that may have led to the labels of one transformation."""
    draws = torch.zeros(len(labels), 15)
    if name == "xflip":
        draws[:, 6] = 1 - labels[:, 0]
    elif name == "yflip":
        draws[:, 7] = 1 - labels[:, 0]
    elif name == "scale":
        draws[:, 11] = labels[:, 0]
    elif name == "rotate_frac":
        draws[:, 8] = (torch.atan2(labels[:, 1], labels[:, 0] + 1) / torch.pi + 1) / 2
    elif name == "aniso":
        # A stretch along an axis and a squeeze along its opposite have the same label.
        draws[:, 9] = (torch.atan2(labels[:, 1], labels[:, 0]) / torch.pi + 1) / 2
        draws[:, 12] = labels.norm(dim=1)
        return [draws, torch.cat([draws[:, :12], -draws[:, 12:]], dim=1)]
    else:
        draws[:, 13:] = labels
    return [draws]


def rms(images: torch.Tensor) -> torch.Tensor:
    """Gives the root mean square of each image (B,), away from its border."""
    return images[..., 8:-8, 8:-8].square().mean(dim=(1, 2, 3)).sqrt()


def smooth_images(batch: int, side: int) -> torch.Tensor:
    coarse = torch.randn(
        batch, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(3)
    )
    return torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bicubic")


def nvidia_module(path: str, name: str) -> ModuleType:
    if path not in sys.path:
        sys.path.insert(0, path)
    return importlib.import_module(name)


def initial_weights(theirs: torch.nn.Module, ours: torch.nn.Module) -> str:
    """Compares the spread of each parameter's initial values; few values scatter by chance."""
    ratios, reference = [], dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        a, b = p.detach().std().item(), reference[name].detach().std().item()
        assert (a == 0) == (b == 0), name
        if a and p.numel() > 500:
            ratios.append(a / b)
    return f"standard deviations ours / NVIDIA {min(ratios):.3f} .. {max(ratios):.3f}"


def perturb(network: torch.nn.Module) -> None:
    """Moves the weights off their start, where half the branches give zeros and denormals."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(torch.randn(p.shape, generator=generator), alpha=0.02)


@torch.no_grad()
def difference(
    a: torch.nn.Module, b: torch.nn.Module, x: torch.Tensor, sigma: torch.Tensor
) -> float:
    return (a.eval()(x, sigma) - b.eval()(x, sigma)).abs().max().item()


def training_step(
    network: torch.nn.Module, loss: Callable[[], torch.Tensor]
) -> Callable[[], None]:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        value = loss()
        value.sum().div(len(value)).backward()
        optimizer.step()

    return step


def denoising(
    network: torch.nn.Module, x: torch.Tensor, sigma: torch.Tensor
) -> Callable[[], torch.Tensor]:
    return torch.no_grad()(lambda: network(x, sigma))


def interleaved(
    a: Callable[[], object], b: Callable[[], object], repeats: int
) -> tuple[list[float], list[float]]:
    """Times `a` and `b` in turn, in seconds; the first two of each warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats + 2):
        # The order alternates, so that neither always runs in the other's wake.
        for index in (0, 1) if repeat % 2 else (1, 0):
            start = time.perf_counter()
            (a, b)[index]()
            times[index].append(time.perf_counter() - start)
    return times[0][2:], times[1][2:]


def report(name: str, theirs: list[float], ours: list[float]) -> None:
    ratios = sorted(t / o for t, o in zip(theirs, ours, strict=True))
    low, high = ratios[len(ratios) // 4], ratios[(3 * len(ratios)) // 4]
    print(
        f"{name:14s} NVIDIA {1e3 * statistics.median(theirs):7.1f} ms"
        f"   ours {1e3 * statistics.median(ours):7.1f} ms"
        f"   ratio {statistics.median(ratios):.3f} (quartiles {low:.3f}, {high:.3f})"
    )


if __name__ == "__main__":
    main()
