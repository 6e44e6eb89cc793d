"""The transformer against a second way to write it, and in a run: resumed, repaired, sampled."""

import math
import shutil

import pytest
import torch
import torch.nn.functional as F
from tiny_runs import DIGITS, At, CrashError, Fit, arguments, assert_same, crash, outcome

from lightning_collapse import CollapseModule, DiT, EDMPrecond, load_denoiser
from lightning_collapse.commands.fit import run_fit
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.repair import repair

TINY = {"patch_size": 2, "width": 16, "depth": 2, "num_heads": 2}


def randomised(module):
    """Gives weights of ordinary size to layers that start at zero."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn(p.shape, generator=random) * 0.2)
    return module


def test_starts_at_zero():
    network = DiT(8, 3, label_dim=4, augment_dim=9, **TINY)
    out = network(torch.randn(2, 3, 8, 8), torch.randn(2), torch.tensor([0, 3]))
    assert out.shape == (2, 3, 8, 8) and not out.any()


def test_its_blocks_start_as_the_identity():
    block = DiT(8, 3, **TINY).blocks[0]
    x = torch.randn(2, 16, 16)
    assert torch.equal(block(x, torch.randn(2, 16)), x)


def test_it_is_the_papers_transformer():
    """Patch by patch, head by head, as Figure 3 has it."""
    network = randomised(DiT(6, 2, patch_size=3, width=8, depth=1, num_heads=2))
    x, c_noise = torch.randn(1, 2, 6, 6), torch.tensor([0.3])
    freqs = torch.tensor([10000 ** (-i / 127) for i in range(128)])
    noise = torch.cat([(0.3 * freqs).sin(), (0.3 * freqs).cos()])
    emb = F.silu(network.map_layer1(F.silu(network.map_layer0(noise))))
    tokens = []
    for i in range(2):
        for j in range(2):
            patch = x[0, :, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3].reshape(-1)
            place = [f(n * s) for n in (i, j) for f in (math.sin, math.cos) for s in (1, 1e-2)]
            tokens.append(network.first(patch) + torch.tensor(place))
    h, (block,) = torch.stack(tokens), network.blocks

    def modulated(x, shift, scale):
        return (x - x.mean(-1, keepdim=True)) * scale_of(x) * (1 + scale) + shift

    def scale_of(x):
        return (x.var(-1, unbiased=False, keepdim=True) + 1e-6).rsqrt()

    parts = block.affine(emb).split(8)
    q, k, v = block.qkv(modulated(h, *parts[:2])).split(8, dim=1)
    heads = [(q[:, s] @ k[:, s].T / 2).softmax(1) @ v[:, s] for s in (slice(0, 4), slice(4, 8))]
    h = h + parts[2] * block.proj(torch.cat(heads, 1))
    hidden = F.gelu(block.layer0(modulated(h, *parts[3:5])), approximate="tanh")
    h = h + parts[5] * block.layer1(hidden)
    out = network.last(modulated(h, *network.affine(emb).split(8)))
    expected = torch.empty_like(x)
    for n, patch in enumerate(out):
        i, j = divmod(n, 2)
        expected[0, :, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3] = patch.view(2, 3, 3)
    torch.testing.assert_close(network(x, c_noise), expected, rtol=1e-4, atol=1e-4)


def test_every_parameter_learns():
    network = randomised(DiT(8, 1, label_dim=3, augment_dim=9, **TINY))
    out = network(torch.randn(2, 1, 8, 8), torch.zeros(2), torch.tensor([0, 2]), torch.ones(2, 9))
    out.square().sum().backward()
    assert [n for n, p in network.named_parameters() if not p.grad.abs().sum() > 0] == []


def test_labels_that_are_not_given_are_zeros():
    network = randomised(DiT(8, 1, label_dim=3, augment_dim=9, **TINY)).eval()
    x, none = torch.randn(2, 1, 8, 8), torch.zeros(2)
    assert torch.equal(network(x, none), network(x, none, torch.zeros(2, 3), torch.zeros(2, 9)))
    assert not torch.equal(network(x, none), network(x, none, torch.tensor([0, 1])))


def test_label_dropout_trains_without_class():
    network = randomised(DiT(8, 1, label_dim=3, label_dropout=1.0, **TINY))
    x, none, labels = torch.randn(2, 1, 8, 8), torch.zeros(2), torch.tensor([0, 1])
    assert torch.equal(network(x, none, labels), network(x, none))
    assert not torch.equal(network.eval()(x, none, labels), network(x, none))


def test_traces_without_graph_break():
    network = randomised(EDMPrecond(DiT(8, 1, label_dim=3, **TINY))).eval()
    x, sigma, labels = torch.randn(2, 1, 8, 8), torch.tensor([0.1, 2.0]), torch.tensor([0, 2])
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, sigma, labels), network(x, sigma, labels))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"patch_size": 3}, "patch_size = 3: must divide img_resolution = 8"),
        ({"patch_size": 0}, "patch_size = 0: must divide img_resolution = 8"),
        ({"num_heads": 3}, "width = 16: must be a multiple of 4 and of num_heads = 3"),
        ({"width": 18}, "width = 18: must be a multiple of 4 and of num_heads = 2"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(wrong, said):
    with pytest.raises(ValueError, match=f"^{said}$"):
        DiT(8, 1, **{**TINY, **wrong})


def dit(**options) -> DiT:
    return DiT(8, 1, label_dim=10, label_dropout=0.2, **TINY, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Fit:
    torch.set_num_threads(1)
    return Fit(tmp_path_factory.mktemp("run") / "run", network=dit(), data=DIGITS)()


@pytest.mark.parametrize("step", [1, 3])
def test_a_run_that_died_is_the_same_run(tmp_path, run, step):
    with pytest.raises(CrashError):
        parts = {"network": dit(), "data": DIGITS}
        Fit(tmp_path, **parts, callbacks=[At("on_train_batch_end", 1, step, crash)])()
    assert_same(outcome(Fit(tmp_path, **parts)().folder), outcome(run.folder))
    assert run.records[1]["weights_moved"] > 0


def test_its_samples_are_made_again(tmp_path, run):
    copy = Run(shutil.copytree(run.folder, tmp_path / "run"))
    shard = copy.path / "pool" / "0001" / "shard-00000.npy"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    told = {path: what for path, what, _ in repair(copy)}
    assert told[shard] == "its samples were made again" and shard.read_bytes() == whole


def test_its_checkpoint_gives_it_back(run):
    path = run.folder / "checkpoints" / "last.ckpt"
    loaded, back = load_denoiser(path), CollapseModule.load_from_checkpoint(path)
    assert_same(dict(loaded.state_dict()), dict(run.module.ema.state_dict()))
    assert_same(dict(back.state_dict()), dict(run.module.state_dict()))
    x, labels = torch.randn(2, 1, 8, 8), torch.tensor([3, 4])
    assert torch.equal(loaded(x, 1.0, labels), run.module.ema(x, 1.0, labels))


def test_a_configurations_network_gives_way_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr("tiny_runs.DIGITS_MODEL", {})
    sizes = {"img_resolution": 8, "channels": 1, **TINY}
    options = {f"model__network__{name}": n for name, n in sizes.items()}
    chosen = {"model__network": "DiT", **options, "trainer__max_epochs": 1}
    run_fit(arguments(tmp_path / "run", "digits_replace", **chosen))
    loaded = load_denoiser(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert isinstance(loaded.model, DiT) and loaded.model.width == 16


def test_a_patch_that_does_not_divide_the_image_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tiny_runs.DIGITS_MODEL", {})
    sizes = {"img_resolution": 8, "channels": 1, "patch_size": 3}
    words = [w for name, n in sizes.items() for w in (f"--model.network.{name}", str(n))]
    line = [*arguments(tmp_path / "run", "digits_replace"), "--model.network", "DiT", *words]
    with pytest.raises(SystemExit) as left:
        run_fit(line)
    err = capsys.readouterr().err
    assert left.value.code == 2 and err.count("\n") == 1
    assert "patch_size = 3: must divide img_resolution = 8" in err
    assert not (tmp_path / "run").exists()
