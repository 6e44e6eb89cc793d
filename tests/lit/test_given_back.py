"""`CollapseModule.load_from_checkpoint`: the module of a checkpoint, of any Trainer."""

import pytest
import torch
from tiny_runs import DIGITS, Fit, assert_same, mlp, unet

from lightning_collapse import CollapseModule, Sampling, load_denoiser
from lightning_collapse.runs.checkpoints import read_checkpoint


@pytest.fixture(scope="module")
def fit(tmp_path_factory) -> Fit:
    folder = tmp_path_factory.mktemp("run")
    return Fit(folder, rounds=1, network=mlp(), sigma_data=0.7, P_std=1.5)()


def saved(fit: Fit):
    return fit.folder / "checkpoints" / "last.ckpt"


def test_it_is_the_module_as_it_was(fit):
    back = CollapseModule.load_from_checkpoint(saved(fit), lr_rampup=0.5)
    assert_same(dict(back.state_dict()), dict(fit.module.state_dict()))
    assert back.loss == fit.module.loss and back.lr_rampup == 0.5
    assert all(value.requires_grad for value in back.model.parameters())
    noise = torch.randn(5, *back.ema.row_shape)
    made = [Sampling(num_steps=4)(module.ema, noise) for module in (back, fit.module)]
    assert torch.equal(*made)


def test_its_model_and_its_average_share_no_memory(fit):
    back = CollapseModule.load_from_checkpoint(saved(fit))
    before = {name: value.clone() for name, value in back.ema.state_dict().items()}
    with torch.no_grad():
        for value in back.model.parameters():
            value.add_(1)
    assert_same(dict(back.ema.state_dict()), before)


def test_a_preset_comes_back_as_the_network_that_it_made(tmp_path):
    network = unet(label_dim=10, encoder_type="residual", resample_filter=[1, 3, 3, 1])
    fit = Fit(tmp_path, rounds=1, network=network, data=DIGITS)()
    back = CollapseModule.load_from_checkpoint(saved(fit))
    assert back.label_dim == 10
    assert_same(dict(back.state_dict()), dict(fit.module.state_dict()))
    x, labels = torch.randn(2, 1, 8, 8), torch.tensor([3, 4])
    assert torch.equal(back.ema(x, 1.0, labels), fit.module.ema(x, 1.0, labels))


def test_a_checkpoint_without_a_seal_is_read_and_a_damaged_one_is_not(tmp_path, fit):
    # As a plain Trainer writes it.
    path = tmp_path / "plain.ckpt"
    torch.save(read_checkpoint(saved(fit)), path)
    back = CollapseModule.load_from_checkpoint(path)
    assert_same(dict(back.state_dict()), dict(fit.module.state_dict()))
    data = bytearray(path.read_bytes())
    weights = fit.module.ema.model.first.weight.detach().numpy().tobytes()
    data[data.index(weights)] ^= 1
    path.write_bytes(data)
    for load in (CollapseModule.load_from_checkpoint, load_denoiser):
        with pytest.raises(ValueError, match="plain.ckpt: is not a checkpoint of a run that can"):
            load(path)


def test_code_in_a_checkpoint_does_not_run(tmp_path, fit):
    class Harm:
        def __reduce__(self):
            return exec, ("raise SystemExit('ran')",)

    path = tmp_path / "harm.ckpt"
    torch.save(read_checkpoint(saved(fit)) | {"model": Harm()}, path)
    with pytest.raises(ValueError, match="harm.ckpt: is not a checkpoint of a run that can"):
        CollapseModule.load_from_checkpoint(path)
