"""Pickles that look like NVIDIA's: Python's pickler and torch's reducers, a source of our own.

The embedded source touches a file, the canary, if anyone runs it.
"""

import io
import pickle
import sys
import types
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lightning_collapse import nvidia_network

SMALL = {
    "img_resolution": 8,
    "img_channels": 1,
    "label_dim": 0,
    "use_fp16": False,
    "model_type": "SongUNet",
    "embedding_type": "positional",
    "encoder_type": "standard",
    "decoder_type": "standard",
    "channel_mult_noise": 1,
    "resample_filter": [1, 1],
    "model_channels": 8,
    "channel_mult": [1],
    "num_blocks": 1,
    "attn_resolutions": [8],
    "augment_dim": 9,
    "dropout": 0.1,
}


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nvidia_network(**SMALL)


@dataclass(eq=False)
class Reduced:
    """Pickled as a call of a global, which need not exist anywhere."""

    path: str
    arguments: tuple[Any, ...]

    def __reduce__(self):
        return stand_in(self.path), self.arguments


class Stateful(Reduced):
    """Likewise, with a state that is set afterwards."""

    def __reduce__(self):
        *arguments, state = self.arguments
        return stand_in(self.path), tuple(arguments), state


class EasyDict(Reduced):
    """Likewise, with items that are set afterwards, as a subclass of dict has them."""

    def __reduce__(self):
        return stand_in(self.path), (), None, None, iter(self.arguments[0].items())


def stand_in(path: str) -> types.FunctionType:
    """Gives a function that the pickler takes for the global `module.name`."""
    module, _, name = path.rpartition(".")
    function = types.FunctionType((lambda: None).__code__, {}, name)
    function.__module__, function.__qualname__ = module, name
    return function


class Pickler(pickle._Pickler):
    """Python's own, but that a global's existence is not checked."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_global(self, obj, name=None):
        module = getattr(obj, "__module__", None) or pickle.whichmodule(obj, name)
        text = name or getattr(obj, "__qualname__", obj.__name__)
        module = {"numpy._core.multiarray": self.numpy}.get(module, module)
        if self.proto >= 4:
            self.save(module)
            self.save(text)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{module}\n{text}\n".encode())
        self.memoize(obj)

    dispatch[types.FunctionType] = save_global
    numpy = "numpy._core.multiarray"


def dumps(content: Any, protocol: int = 4, numpy: str = Pickler.numpy) -> bytes:
    file = io.BytesIO()
    pickler = Pickler(file, protocol)
    pickler.numpy = numpy
    pickler.dump(content)
    return file.getvalue()


def persistent(class_name: str, source: str, state: Any, changed: Any = None) -> Reduced:
    meta = {
        "type": "class",
        "version": 6,
        "module_src": source,
        "class_name": class_name,
        "state": state,
    }
    return Reduced(
        "torch_utils.persistence._reconstruct_persistent_obj", (meta | (changed or {}),)
    )


@dataclass
class LookAlike:
    """A network pickle in the making; a test changes what it likes before `bytes()`.

    Args:
        network: ours, whose tensors are pickled.
        init_kwargs: the constructor's arguments.
        canary: what the embedded source touches.
    """

    network: nn.Module = field(default_factory=small_network)
    init_kwargs: dict[str, Any] = field(default_factory=lambda: dict(SMALL))
    canary: Path = Path("canary")
    class_name: str = "EDMPrecond"
    meta: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return f"import pathlib\npathlib.Path({str(self.canary)!r}).touch()\n"

    def ema(self) -> Reduced:
        state = self._state(self.network) | {
            "_init_args": (),
            "_init_kwargs": self.init_kwargs,
            "sigma_max": float("inf"),
        }
        return persistent(self.class_name, self.source, state | self.state, self.meta)

    def snapshot(self) -> dict[str, Any]:
        data = {"class_name": "training.dataset.ImageFolderDataset", "max_size": 100}
        return {
            "ema": self.ema(),
            "loss_fn": persistent("EDMLoss", self.source, {"P_mean": -1.2, "P_std": 1.2}),
            "augment_pipe": persistent("AugmentPipe", self.source, self._state(nn.Module())),
            "dataset_kwargs": EasyDict("dnnlib.util.EasyDict", (data,)),
        }

    def bytes(self, **options: Any) -> bytes:
        return dumps({"ema": self.ema()}, **options)

    def _module(self, module: nn.Module) -> Any:
        if isinstance(module, nn.ModuleDict):
            clone = nn.ModuleDict.__new__(nn.ModuleDict)
            clone.__dict__.update(self._state(module))
            return clone
        state = self._state(module) | {"skip_scale": np.sqrt(0.5), "_init_args": ()}
        return persistent(type(module).__name__, self.source, state)

    def _state(self, module: nn.Module) -> dict[str, Any]:
        children = {name: self._module(child) for name, child in module._modules.items() if child}
        return {k: v for k, v in vars(module).items() if k.startswith("_") or k == "training"} | {
            "_modules": children
        }


@contextmanager
def nvidias_modules():
    """Makes the names that a plain `pickle.load` needs, whose reconstruct runs the source."""
    persistence = types.ModuleType("torch_utils.persistence")

    def run(meta):
        exec(meta["module_src"], {})
        return meta

    run.__module__, run.__qualname__ = persistence.__name__, "_reconstruct_persistent_obj"
    persistence._reconstruct_persistent_obj = run
    names = {"torch_utils": types.ModuleType("torch_utils"), persistence.__name__: persistence}
    sys.modules.update(names)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
