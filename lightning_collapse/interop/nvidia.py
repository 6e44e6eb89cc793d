"""NVIDIA's network pickles of EDM (releases and training snapshots), read without running them.

Such a pickle asks its reader to run source code that it brings along, and to hand byte strings to
an unrestricted `torch.load`. Here both requests become records (`pickles`): what is needed is what
the code would be applied to, the arguments of the constructor and the tensors.

The format: a dict, whose `ema` is a network. A module is a call of `_reconstruct_persistent_obj`
with a dict of `class_name`, `module_src` (the source) and `state` (the module's attributes).
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lightning_collapse.interop.pickles import Call, Grammar, read_pickle
from lightning_collapse.interop.storages import read_storage, read_tensor

__all__ = ["ReleasedNetwork", "read_network_pickle"]

_MODULE = "torch_utils.persistence._reconstruct_persistent_obj"
_MODULES = "torch.nn.modules.container.ModuleDict"
_PARAMETER = "torch._utils._rebuild_parameter"
_TENSOR = "torch._utils._rebuild_tensor_v2"
_STORAGE = "torch.storage._load_from_bytes"
_DICTS = frozenset({"collections.OrderedDict", "dnnlib.util.EasyDict"})
_NUMPY = frozenset({"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"})

_GRAMMAR = Grammar(
    globals=frozenset({_MODULE, _MODULES, _PARAMETER, _TENSOR, _STORAGE, "numpy.dtype"})
    | _DICTS
    | _NUMPY,
    dicts=_DICTS,
    stateful=frozenset({_MODULES, "numpy.dtype"}),
)

# The AFHQ-v2 network has 1,949 modules and tensors, in 5 levels.
_MAX_DEPTH = 16
_MAX_ENTRIES = 2**15


@dataclass(frozen=True)
class ReleasedNetwork:
    """What a network pickle holds.

    Args:
        class_name: of the network, such as EDMPrecond.
        init_kwargs: arguments that its constructor was called with.
        state_dict: its tensors, in NVIDIA's order.
        sha256: of the file.
        module_sha256: of the source code embedded for the network.
    """

    class_name: str
    init_kwargs: dict[str, Any]
    state_dict: dict[str, Tensor]
    sha256: str
    module_sha256: str


def read_network_pickle(path: Path) -> ReleasedNetwork:
    """Reads the average network (`ema`) of a network pickle of EDM's.

    Takes memory of about twice the file's size, and runs nothing of what is in it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is broken, or something else than a network pickle.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    data = path.read_bytes()
    try:
        return _network(data)
    except ValueError as error:
        raise ValueError(f"{path}: is no network pickle of NVIDIA's EDM: {error}") from error


def _network(data: bytes) -> ReleasedNetwork:
    content, end = read_pickle(memoryview(data), 0, _GRAMMAR)
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes follow its end")
    if type(content) is not dict or "ema" not in content:
        raise ValueError("it is no dict with an entry ema")
    meta = _meta(content["ema"])
    class_name, source = _text(meta, "class_name"), _text(meta, "module_src")
    if class_name != "EDMPrecond":
        raise ValueError(f"class {ascii(class_name[:60])} is not supported, only EDMPrecond")
    state = _state(content["ema"])
    unnamed = state.get("_init_args", ())
    if type(unnamed) is not tuple or unnamed:
        raise ValueError("its constructor was called with arguments that have no names")
    arguments = _plain_arguments(state.get("_init_kwargs"))
    weights = _StateDict(most_bytes=len(data))
    weights.add(content["ema"])
    return ReleasedNetwork(
        class_name,
        arguments,
        weights.tensors,
        hashlib.sha256(data).hexdigest(),
        hashlib.sha256(source.encode()).hexdigest(),
    )


class _StateDict:
    """Collects tensors as `torch.nn.Module.state_dict` would."""

    def __init__(self, most_bytes: int) -> None:
        self.bytes_left = most_bytes
        self.entries_left = _MAX_ENTRIES
        self.storages: dict[int, memoryview] = {}
        self.tensors: dict[str, Tensor] = {}

    def add(self, module: Any, prefix: str = "", depth: int = _MAX_DEPTH) -> None:
        if not depth:
            raise ValueError(f"module {prefix} is nested too deep")
        state = _state(module)
        transient = state.get("_non_persistent_buffers_set", set())
        for name, value in self._entries(state, "_parameters"):
            self._tensor(prefix + name, _arguments(value, _PARAMETER, 3)[0])
        for name, value in self._entries(state, "_buffers"):
            if type(transient) is set and name not in transient:
                self._tensor(prefix + name, value)
        for name, value in self._entries(state, "_modules"):
            self.add(value, f"{prefix}{name}.", depth - 1)

    def _entries(self, state: dict[str, Any], kind: str) -> list[tuple[str, Any]]:
        entries = state.get(kind)
        if type(entries) is not dict:
            raise ValueError(f"a module's {kind} are no dict")
        self.entries_left -= 1 + len(entries)
        if self.entries_left < 0:
            raise ValueError(f"more than {_MAX_ENTRIES} modules and tensors")
        for name in entries:
            if not re.fullmatch(r"\w{1,64}", name):
                raise ValueError(f"entry {ascii(name[:60])} of {kind}: its name is no identifier")
        return [(name, value) for name, value in entries.items() if value is not None]

    def _tensor(self, name: str, value: Any) -> None:
        try:
            storage, offset, size, stride, *_ = _arguments(value, _TENSOR, 6)
            tensor = read_tensor(self._storage(storage), offset, size, stride, self.bytes_left)
        except ValueError as error:
            raise ValueError(f"tensor {name}: {error}") from error
        self.bytes_left -= tensor.nbytes
        self.tensors[name] = tensor

    def _storage(self, value: Any) -> memoryview:
        (content,) = _arguments(value, _STORAGE, 1)
        if type(content) is not memoryview:
            raise ValueError("a storage is no bytes")
        # Read once, however many tensors view it: the pickle keeps each under one identity.
        if id(content) not in self.storages:
            self.storages[id(content)] = read_storage(content)
        return self.storages[id(content)]


def _meta(module: Any) -> dict[str, Any]:
    (meta,) = _arguments(module, _MODULE, 1)
    if type(meta) is not dict or meta.get("type") != "class" or meta.get("version") != 6:
        raise ValueError("a module is not in NVIDIA's persistence format, version 6")
    return meta


def _state(module: Any) -> dict[str, Any]:
    if type(module) is Call and module.function == _MODULES:
        state = module.state
    else:
        state = _meta(module).get("state")
    if type(state) is not dict:
        raise ValueError("a module's state is no dict")
    return state


def _text(meta: dict[str, Any], key: str) -> str:
    if type(text := meta.get(key)) is not str:
        raise ValueError(f"a module's {key} is no text")
    return text


def _arguments(value: Any, function: str, count: int) -> tuple[Any, ...]:
    if type(value) is not Call or value.function != function or len(value.arguments) != count:
        raise ValueError(f"something else stands where {function} should be called")
    return value.arguments


def _plain_arguments(init_kwargs: Any) -> dict[str, Any]:
    """Checks that constructor arguments are plain: their values are checked by who builds it."""
    if type(init_kwargs) is not dict or len(init_kwargs) > 64:
        raise ValueError("its constructor's arguments are no dict")
    for name, value in init_kwargs.items():
        items = list(value) if type(value) in (list, tuple) and len(value) <= 16 else [value]
        if not all(type(item) in (type(None), bool, int, float, str) for item in items):
            raise ValueError(f"argument {ascii(name[:60])} is no number, text, or list of a few")
    return {k: list(v) if type(v) is tuple else v for k, v in init_kwargs.items()}
