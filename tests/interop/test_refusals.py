"""Files that `convert` must refuse: one line, nothing run, nothing written.

Streams that the machine itself refuses are in test_pickles; these are well-formed to their end, or
no pickle at all.
"""

import io
import os
import pickle
import re
import zipfile

import pytest
import torch
from lookalikes import (
    SMALL,
    LookAlike,
    Reduced,
    Stateful,
    dumps,
    nvidias_modules,
    persistent,
    small_network,
)
from safetensors.torch import save
from torch import nn

from lightning_collapse.runs.checkpoints import write_checkpoint

TENSOR = "torch._utils._rebuild_tensor_v2"
STORAGE = "torch.storage._load_from_bytes"
PARAMETER = "torch._utils._rebuild_parameter"


class Touch:
    """Touches a file when it is loaded by an ordinary unpickler."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


class Evaluate(Touch):
    def __reduce__(self):
        return eval, (f"open({str(self.path)!r}, 'w')",)


def legacy(tensor):
    """A tensor's storage as torch pickles it: the argument of `_load_from_bytes`."""
    return tensor._typed_storage().__reduce__()[1][0]


def parameter(tensor):
    return Reduced(PARAMETER, (tensor, False, {}))


def tensor(data=None, offset=0, size=(8, 9), stride=(9, 1)):
    """One for `model.map_augment.weight`, (8, 9), of bytes or of a record."""
    if data is None:
        data = legacy(torch.zeros(8, 9))
    storage = Reduced(STORAGE, (data,)) if isinstance(data, bytes) else data
    return Reduced(TENSOR, (storage, offset, size, stride, False, {}))


def with_entry(value):
    """A network pickle with something else as the parameter `model.map_augment.weight`."""

    def make(canary):
        look = LookAlike(canary=canary)
        ema = look.ema()
        model = ema.arguments[0]["state"]["_modules"]["model"].arguments[0]["state"]
        layer = model["_modules"]["map_augment"].arguments[0]["state"]
        layer["_parameters"] = {"weight": value(canary) if callable(value) else value}
        return dumps({"ema": ema})

    return make


def with_tensor(*args, **kwargs):
    return with_entry(parameter(tensor(*args, **kwargs)))


def with_arguments(**changed):
    return lambda canary: LookAlike(init_kwargs=SMALL | changed, canary=canary).bytes()


def with_state(**changed):
    return lambda canary: LookAlike(state=changed, canary=canary).bytes()


def with_meta(**changed):
    return lambda canary: LookAlike(meta=changed, canary=canary).bytes()


def content(value):
    return lambda canary: dumps(value(canary) if callable(value) else value)


def edited(edit):
    return lambda canary: edit(LookAlike(canary=canary).bytes())


def storage_with(old, new, count=1):
    """A well-formed tensor whose storage's bytes say something else."""
    data = legacy(torch.zeros(8, 9))
    assert data.count(old) >= count
    return with_tensor(data.replace(old, new, count))


def evil_storage(canary):
    """A storage whose bytes are in torch's format, but for what the unpickler is told to run."""
    data = legacy(torch.zeros(8, 9))
    evil = pickle.dumps(Touch(canary), 2)
    return parameter(tensor(data[: data.index(b".") + 1] + evil + data))


def laughs(depth):
    value = ["ha"]
    for _ in range(depth):
        value = [value, value]
    return value


def module(children):
    state = {"_parameters": {}, "_buffers": {}, "_modules": children}
    return persistent("Module", "", state)


def nested(depth, width):
    """Modules in modules, each of which stands in its parent under several names."""
    child = module({})
    for _ in range(depth):
        child = module({f"m{i}": child for i in range(width)})
    return child


def cycle():
    modules = nn.ModuleDict.__new__(nn.ModuleDict)
    vars(modules).update(_parameters={}, _buffers={}, _modules={"again": modules})
    return modules


def a_zip(canary):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data.pkl", b"x")
    return file.getvalue()


def state_dict_file(canary):
    file = io.BytesIO()
    torch.save(small_network().state_dict(), file)
    return file.getvalue()


def network_with(**changed):
    def make(canary):
        look = LookAlike(canary=canary)
        model = look.network.model
        for name, value in changed.items():
            setattr(model, name, value)
        return look.bytes()

    return make


def not_finite(canary):
    look = LookAlike(canary=canary)
    look.network.model.map_layer0.weight.data[3, 2] = float("nan")
    return look.bytes()


HUGE = 2**62
START = "at byte 0: the stream does not start as a pickle of protocol 2 to 5"

BAD = {
    # Not a network pickle at all.
    "empty": (lambda c: b"", "at byte 0: the stream ends too early"),
    "a zip": (a_zip, START),
    "a state dict of torch": (state_dict_file, START),
    "safetensors": (lambda c: save({"a": torch.zeros(2)}), START),
    "text": (lambda c: b"<html>Not found</html>\n", START),
    "zeros": (lambda c: bytes(10_000), START),
    "no dict": (content([1, 2]), "no dict with an entry ema"),
    "no ema": (content({"net": 1}), "no dict with an entry ema"),
    "ema is nothing": (content({"ema": None}), "_reconstruct_persistent_obj should be called"),
    "ema is a tensor": (content({"ema": torch.zeros(2)}), "should be called"),
    # Code to run.
    "os.system": (content(Touch), r"global '(posix|nt)\.system'"),
    "eval": (content(Evaluate), "global 'builtins.eval'"),
    "os.system in ema": (content(lambda c: {"ema": Touch(c)}), r"global '(posix|nt)\.system'"),
    "os.system as a weight": (with_entry(Touch), r"global '(posix|nt)\.system'"),
    "os.system beside ema": (
        lambda c: dumps({"x": Touch(c), "ema": LookAlike(canary=c).ema()}),
        r"global '(posix|nt)\.system'",
    ),
    "protocol 0": (lambda c: f"cos\nsystem\n(S'touch {c}'\ntR.".encode(), START),
    "inst": (lambda c: f"\x80\x02(S'touch {c}'\nios\nsystem\n.".encode("latin1"), "opcode 0x53"),
    "setattr by build": (
        content(lambda c: {"ema": Stateful("collections.OrderedDict", ({"a": 1},))}),
        "no Call to put this into",
    ),
    "torch.load": (content(Reduced("torch.load", ("x",))), "global 'torch.load'"),
    "another module class": (
        content({"ema": Reduced("torch.nn.modules.linear.Linear", (2, 2))}),
        "global 'torch.nn.modules.linear.Linear'",
    ),
    "pickle in a storage": (
        with_entry(lambda c: parameter(tensor(pickle.dumps(Touch(c), 4)))),
        r"tensor model.map_augment.weight: at byte \d+: global '(posix|nt)\.system'",
    ),
    "bare pickle in bytes": (
        lambda c: dumps({"ema": Reduced(STORAGE, (pickle.dumps(Touch(c), 2),))}),
        "should be called",
    ),
    "pickle within a storage": (with_entry(evil_storage), r"global '(posix|nt)\.system'"),
    # More or less than one stream.
    "trailing byte": (edited(lambda d: d + b"\0"), "1 bytes follow its end"),
    "trailing pickle": (
        lambda c: LookAlike(canary=c).bytes() + pickle.dumps(Touch(c)),
        "bytes follow its end",
    ),
    "twice": (edited(lambda d: d + d), "bytes follow its end"),
    "half": (edited(lambda d: d[: len(d) // 2]), "ends too early|beyond the end"),
    "all but a byte": (edited(lambda d: d[:-1]), "ends too early|beyond the end"),
    "without its start": (edited(lambda d: d[2:]), START),
    # Another format, another network.
    "another version": (with_meta(version=7), "persistence format, version 6"),
    "a function": (with_meta(type="func"), "persistence format, version 6"),
    "no source": (with_meta(module_src=b"x"), "module_src is no text"),
    "no class": (with_meta(class_name=3), "class_name is no text"),
    "no state": (with_meta(state=[1]), "state is no dict"),
    "VPPrecond": (with_meta(class_name="VPPrecond"), "class 'VPPrecond' is not supported"),
    "VEPrecond": (with_meta(class_name="VEPrecond"), "class 'VEPrecond' is not supported"),
    "positional": (with_state(_init_args=(64, 3)), "arguments that have no names"),
    "no arguments": (with_state(_init_kwargs=None), "arguments are no dict"),
    "no modules": (with_state(_modules=3), "_modules are no dict"),
    "parameters in a list": (with_state(_parameters=[1]), "_parameters are no dict"),
    "a call as module": (with_state(_modules={"model": 3}), "should be called"),
    "a number as buffer": (with_state(_buffers={"x": 3}), "tensor x: .* should be called"),
    "a path as name": (
        with_state(_buffers={"../../x": torch.zeros(1)}),
        r"entry '\.\./\.\./x' of _buffers: its name is no identifier",
    ),
    "deep modules": (with_state(_modules={"a": nested(20, 1)}), "is nested too deep"),
    "module laughs": (with_state(_modules={"a": nested(14, 3)}), "more than 32768 modules"),
    "module cycle": (with_state(_modules={"a": cycle()}), "is nested too deep"),
    # Arguments.
    "laughs": (with_arguments(channel_mult=laughs(60)), "argument 'channel_mult' is no number"),
    "many values": (with_arguments(channel_mult=[1] * 10**5), "argument 'channel_mult'"),
    "many arguments": (with_arguments(**{f"a{i}": 1 for i in range(100)}), "are no dict"),
    "huge width": (with_arguments(model_channels=10**9), "model_channels = 1000000000: must be"),
    "huger width": (
        with_arguments(model_channels=10**30),
        "= a number of 100 bits: must",
    ),
    "wide": (with_arguments(model_channels=4096), "must be .*by the network's arguments"),
    "negative width": (with_arguments(model_channels=-8), "model_channels = -8: must be"),
    "odd width": (with_arguments(model_channels=9), "model_channels = 9: must be an even"),
    "width that is no number": (with_arguments(model_channels="8"), "model_channels = '8'"),
    "width that is a bool": (with_arguments(num_blocks=True), "num_blocks = True: must be"),
    "many blocks": (with_arguments(num_blocks=256), "256 blocks cannot come from"),
    "no levels": (with_arguments(channel_mult=[]), r"channel_mult = \[\]: must be 1 to 16"),
    "many levels": (with_arguments(channel_mult=[1] * 8), "these arguments build none"),
    "groups that do not divide": (with_arguments(model_channels=150), "build none|must be"),
    "nan": (with_arguments(sigma_data=float("nan")), "sigma_data = nan: must be"),
    "infinite": (with_arguments(dropout=float("inf")), "dropout = inf: must be"),
    "a huge image": (with_arguments(img_resolution=2**40), "img_resolution = 1099511627776"),
    "unknown argument": (with_arguments(adaptive=1), "network.'adaptive': unknown argument"),
    "ADM": (with_arguments(model_type="DhariwalUNet"), "model_type = 'DhariwalUNet': must be"),
    "a list of lists": (with_arguments(attn_resolutions=[[1]]), "'attn_resolutions' is no number"),
    "a tensor": (with_arguments(dropout=torch.zeros(2)), "argument 'dropout' is no number"),
    "lines in a name": (with_arguments(**{"a\nb": 1}), r"network.'a\\nb': unknown argument"),
    "no model_type": (
        lambda c: LookAlike(
            init_kwargs={k: v for k, v in SMALL.items() if k != "model_type"}
        ).bytes(),
        "network.model_type: missing",
    ),
    # Geometry.
    "negative offset": (with_tensor(offset=-1), "offset -1, .* out of range"),
    "negative stride": (with_tensor(offset=71, stride=(-9, -1)), "out of range"),
    "negative size": (with_tensor(size=(-8, -9)), "out of range"),
    "no elements": (with_tensor(size=(0, 9)), "out of range"),
    "offset beyond": (with_tensor(offset=1), "beyond its storage"),
    "stride beyond": (with_tensor(stride=(10, 1)), "beyond its storage"),
    "size beyond": (with_tensor(size=(9, 9)), "beyond its storage"),
    "huge offset": (with_tensor(offset=HUGE), "beyond its storage"),
    "huge size": (with_tensor(size=(HUGE, HUGE), stride=(0, 0)), "more memory than the file"),
    "stride of 0": (with_tensor(size=(2**20, 2**20), stride=(0, 0)), "more memory than the file"),
    "fractions": (with_tensor(size=(8.0, 9.0)), "not whole numbers"),
    "no tuple": (with_tensor(size=[8, 9]), "not whole numbers"),
    "bools": (with_tensor(size=(True, True), stride=(True, True)), "not whole numbers"),
    "too few strides": (with_tensor(stride=(1,)), "not whole numbers"),
    "nine dimensions": (with_tensor(size=(1,) * 9, stride=(1,) * 9), "not whole numbers"),
    "a call short": (with_entry(Reduced(PARAMETER, (1,))), "should be called"),
    "tensor of text": (with_tensor(Reduced(STORAGE, ("x",))), "a storage is no bytes"),
    # Storages.
    "magic": (storage_with(b"\x6c\xfc", b"\x6c\xfd"), "not in torch's legacy format"),
    "version": (storage_with(b"M\xe9\x03.", b"M\xe8\x03."), "not in torch's legacy format"),
    "big-endian": (storage_with(b"little_endianq\x02\x88", b"little_endianq\x02\x89"), "endian"),
    "too long": (with_tensor(legacy(torch.zeros(72)) + b"\0" * 4), "of 72 float32 has 292 bytes"),
    "too short": (with_tensor(legacy(torch.zeros(72))[:-4]), "of 72 float32 has 284 bytes"),
    "without count": (with_tensor(legacy(torch.zeros(72))[:-292]), "has 0 bytes"),
    "lies on its size": (storage_with(b"K\x48", b"K\x47"), "of 71 float32 has 288 bytes"),
    "negative size of storage": (storage_with(b"K\x48N", b"J\xff\xff\xff\xffN"), "of -1 float32"),
    "doubles": (
        with_tensor(legacy(torch.zeros(8, 9, dtype=torch.float64))),
        "global 'torch.DoubleStorage'",
    ),
    "a view": (storage_with(b"K\x48N", b"K\x48)"), "a storage's reference is not"),
    "no storage": (storage_with(b"storage", b"Storage"), "a storage's reference is not"),
    "not torch's": (storage_with(b"ctorch\nFloat", b"cTorch\nFloat"), "global 'Torch.FloatSt"),
    # Tensors that are not the network's.
    "another shape": (with_tensor(size=(9, 8), stride=(8, 1)), r"\(9, 8\) .* must be \(8, 9\)"),
    "one less": (network_with(map_augment=None), "'model.map_augment.weight' = absent"),
    "one more": (network_with(more=nn.Linear(2, 2)), "'model.more.weight' = .* absent"),
    "damaged": (not_finite, "model.map_layer0.weight: must be finite"),
}


def refused(cli, source, out):
    status, said, errors = cli("convert", source, out)
    assert status == 2
    assert said == ""
    (line,) = errors.splitlines()
    return line


@pytest.mark.parametrize("name", BAD)
def test_refused_in_one_line_and_nothing_run(tmp_path, cli, name):
    make, said = BAD[name]
    canary, source, out = (tmp_path / x for x in ("canary", "edm.pkl", "edm.safetensors"))
    source.write_bytes(make(canary))
    out.write_bytes(b"old")
    line = refused(cli, source, out)
    assert line.startswith(f"error: {source}: ")
    assert re.search(said, line), line
    assert len(line) < 600
    assert out.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["edm.pkl", "edm.safetensors"]


@pytest.mark.parametrize(
    "name",
    ["os.system", "eval", "os.system in ema", "os.system as a weight", "pickle in a storage"],
)
@pytest.mark.filterwarnings("ignore")
def test_an_ordinary_unpickler_does_run_them(tmp_path, name):
    """Else the test above would prove nothing."""
    canary = tmp_path / "canary"
    data = BAD[name][0](canary)
    with nvidias_modules():
        try:
            pickle.loads(data)
        except Exception as error:  # after the deed
            assert canary.exists(), error
    assert canary.exists()


@pytest.mark.parametrize(
    ("source", "out", "said"),
    [
        ("none.pkl", "a.safetensors", "none.pkl: no such file"),
        (".", "a.safetensors", ": no such file"),
        ("edm.pkl", "a.pkl", r"a.pkl: must end in .safetensors"),
        ("edm.pkl", "none/a.safetensors", "none/a.safetensors: must be in a folder that exists"),
    ],
)
def test_paths_that_are_wrong(tmp_path, cli, source, out, said):
    (tmp_path / "edm.pkl").write_bytes(b"")
    line = refused(cli, tmp_path / source, tmp_path / out)
    assert said in line
    assert os.listdir(tmp_path) == ["edm.pkl"]


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("suffix", ["ckpt", "pt"])
def test_a_checkpoint_of_no_run_is_refused(cli, tmp_path, sealed, suffix):
    source, checkpoint = tmp_path / f"round-0000.{suffix}", {"state_dict": {"w": torch.ones(2)}}
    with open(source, "wb") as file:
        (write_checkpoint if sealed else torch.save)(checkpoint, file)
    line = refused(cli, source, tmp_path / "out.safetensors")
    assert line.startswith(f"error: {source}: is not a checkpoint of a run")


def test_a_damaged_checkpoint_is_one_line_too(cli, tmp_path):
    source = tmp_path / "round-0000.ckpt"
    torch.save({"state_dict": {"w": torch.ones(2)}}, source)
    # The check sum of what is read no longer fits.
    source.write_bytes(source.read_bytes().replace(b"state_dict", b"state_dice"))
    line = refused(cli, source, tmp_path / "out.safetensors")
    assert line.startswith(f"error: {source}: ")
