"""Times our network against NVIDIA's own code, at the same size and with the same weights.

    git clone https://github.com/NVlabs/edm /tmp/edm
    python benchmarks/network_speed.py --edm /tmp/edm

NVIDIA's code is only run, as a black box: it is CC BY-NC-SA, and no line of it is in this
repository. The two are timed in turn, A B A B; a ratio above 1 means that ours is faster.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edm", required=True, help="a checkout of github.com/NVlabs/edm")
    parser.add_argument("--batch", type=int, default=16, help="images per step")
    parser.add_argument("--repeats", type=int, default=15, help="timed pairs")
    args = parser.parse_args()
    theirs, their_loss = nvidia(args.edm)
    ours = nvidia_network(**EDM_SMALL)
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
    augmentation(args.repeats)


def augmentation(repeats: int) -> None:
    """Undoes NVIDIA's labels into draws, and compares the images that both make of them."""
    from training.augment import AugmentPipe as TheirPipe

    x = smooth_images(16, 32)
    weights = {"xflip": 0, "yflip": 0, "scale": 0, "rotate_frac": 0, "aniso": 0, "translate_frac": 0}
    for name in weights:
        torch.manual_seed(2)
        images, labels = TheirPipe(p=1, **{**weights, name: 1})(x)
        ours, _ = AugmentPipe(p=1, **{**weights, name: 1})(x, draws_of(name, labels))
        error = (images - ours)[..., 8:-8, 8:-8].square().mean().sqrt()
        change = (images - x)[..., 8:-8, 8:-8].square().mean().sqrt()
        print(f"augment {name:14s} rms change {change:.3f}, rms difference {error:.3f}", labels.shape)
    full = {name: 1 for name in weights} | {"xflip": 1e8}
    their_pipe, our_pipe = TheirPipe(p=0.15, **full), AugmentPipe(p=0.15, **full)
    calls = (lambda: their_pipe(x), lambda: our_pipe(x, our_pipe.draw(len(x))))
    report("augmentation", *interleaved(*calls, repeats))


def draws_of(name: str, labels: torch.Tensor) -> torch.Tensor:
    draws = torch.zeros(len(labels), 14)
    if name in ("xflip", "yflip"):
        draws[:, 6 if name == "xflip" else 7] = 1 - labels[:, 0]
    elif name == "scale":
        draws[:, 10] = labels[:, 0]
    elif name == "rotate_frac":
        draws[:, 8] = (torch.atan2(labels[:, 1], labels[:, 0] + 1) / torch.pi + 1) / 2
    elif name == "aniso":
        draws[:, 9] = (torch.atan2(labels[:, 1], labels[:, 0]) / torch.pi + 1) / 2
        draws[:, 11] = labels.norm(dim=1)
    else:
        draws[:, 12:] = labels
    return draws


def smooth_images(batch: int, side: int) -> torch.Tensor:
    coarse = torch.randn(batch, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bicubic")


def nvidia(path: str) -> tuple[torch.nn.Module, Callable[..., torch.Tensor]]:
    sys.path.insert(0, path)
    from training.loss import EDMLoss as TheirLoss
    from training.networks import EDMPrecond as TheirPrecond

    return TheirPrecond(**EDM_SMALL), TheirLoss()


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
