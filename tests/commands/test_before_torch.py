"""Help and mistakes on a command line are answered before torch is imported."""

import inspect
import json
import math
import subprocess
import sys
from importlib import import_module

import pytest

from lightning_collapse import __main__ as door
from lightning_collapse.commands import hints
from lightning_collapse.commands.declared import entry, outline
from lightning_collapse.commands.fit_words import _NESTED, _SECTIONS, check_words, keys_of_fit


def under(name: str) -> list[str]:
    """The commands below a command: the keys of the table that its module has, if any."""
    return list(getattr(import_module(f"{ROOM}.{name}"), "_COMMANDS", {}))


ROOM = "lightning_collapse.commands"
COMMANDS = [
    [name, *below] for name in door._COMMANDS for below in ([[k] for k in under(name)] or [[]])
]
FIT = ["fit", "--config", "configs/points_replace.yaml"]

# Runs command lines one after the other in one process; tells what each said and cost.
_EACH = """
import contextlib, io, json, sys, time
from lightning_collapse.__main__ import main
for words in json.loads(sys.argv[1]):
    sys.argv[1:], out, started = words, io.StringIO(), time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        with contextlib.suppress(SystemExit):
            main()
    slow = "torch" in sys.modules or "pytorch_lightning" in sys.modules
    print(json.dumps([out.getvalue(), slow, time.process_time() - started]))
"""


def answers(*lines: list[str]) -> list[tuple[str, bool, float]]:
    done = subprocess.run(
        [sys.executable, "-c", _EACH, json.dumps(lines)],
        check=True,
        capture_output=True,
        text=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_help_and_a_wrong_option_of_every_command_are_quick():
    lines = [[*name, *rest] for name in COMMANDS for rest in (["--help"], ["--nonsense", "3"])]
    lines.remove(["fit", "--help"])
    for line, (said, slow, seconds) in zip(lines, answers(*lines), strict=True):
        assert not slow, line
        # Of the CPU. The slowest takes .35 s; on a machine that others use .68 were seen.
        assert seconds < 1.0, line
        wanted = "usage: lightning-collapse" if "--help" in line else "error: nonsense: unknown"
        assert said.startswith(wanted), (line, said)


MISTAKES = {
    "--max_epochs 3": "max_epochs: unknown key; did you mean trainer.max_epochs?",
    "--trainer.gpus 2": "trainer.gpus: unknown key; did you mean trainer.devices?",
    "--optimizer Adam": "optimizer: unknown key; did you mean model.optimizer?",
    "--lr_scheduler x": "lr_scheduler: unknown key; did you mean model.lr_rampup?",
    "--lambda 0.3": "lambda: unknown key; did you mean data.regime.synthetic_fraction?",
    "--resume_from_checkpoint x": "resume_from_checkpoint: unknown key; did you mean ckpt_path?",
    "--data.synthetic_fraction 1": "data.synthetic_fraction: unknown key; did you mean data.reg",
    "--data.nonsense.x 3": "data.nonsense.x: unknown key",
    "--trainer.max_epochs three": "trainer.max_epochs = three: must be a whole number",
    "--model.restart cold": "model.restart = cold: must be one of scratch, warm, initial",
    "--data.batch_size": "data.batch_size: needs a value",
    "--data.regime Replce": "data.regime = Replce: unknown class; did you mean Replace?",
    "--data.regime.synthetic_fracton 1": "data.regime.synthetic_fracton: unknown key; did you "
    "mean data.regime.synthetic_fraction?",
    "--data.regime.init_args.ratio 1": "data.regime.ratio: unknown key",
    "--data.regime Augment --data.regime.ratio x": "data.regime.ratio = x: must be a number",
    "--data.source.path x": "data.source.path: unknown key",
    "--loop.sampling.solver hun": "loop.sampling.solver = hun: must be one of dpmpp_3m",
    "--model.augment.q 1": "model.augment.q: unknown key; did you mean model.augment.p?",
    "--seed_everything -1": "seed_everything = -1: must be an integer >= 0 and below 2^32",
    "--run a --run_root b": "run_root = b: --run names a folder; leave one out",
    "--exit_code_on_stop 300": "exit_code_on_stop = 300: must be an exit status, 0 to 255",
    "--ckpt_path configs": "ckpt_path = configs: is a folder; name a checkpoint",
    "--ckpt_path last --run no": "ckpt_path = last: the run in no has no checkpoint",
    "--data.batch_size 0": "data.batch_size = 0: must be at least 1",
    "--data.regime.synthetic_fraction 2": "data.regime.synthetic_fraction = 2.0: must be a number",
    "--data.regime Fresh --data.regime.size 0": "data.regime.size = 0: must be a finite number",
    "--data.source.n 0": "data.source.n = 0: must be at least 1",
    "--loop.micro_batch 9999": "loop.micro_batch = 9999: must be at most 4096, the rows",
    "--loop.sampling.S_churn 3": "loop.sampling.S_churn = 3.0: only solver heun takes fresh noise",
    "--loop.sampling.num_steps 0": "loop.sampling: num_steps must be at least 1, got 0",
    "--model.lr_rampup 2": "model.lr_rampup = 2.0: must be a share in [0, 1]",
    "--model.restart scratch --model.init_from x": "model.init_from = x: has no effect with model",
    "--model.network.width 0": "model.network.width = 0: must be a whole number in 1..1048576",
    "--model.network SongUNet --model.network.img_resolution 9": "model.network: img_resolution=9",
    "--trainer.max_epochs -3": "trainer.max_epochs = -3: must be at least 1 round",
    "--trainer.max_steps 5": "trainer.max_steps = 5: would break the rounds; use data.images_per",
    "--trainer.precision 8": "trainer.precision = 8: must be one of 32-true",
    "--config configs/digits_mx.yaml": "config = configs/digits_mx.yaml: no such file; did you "
    "mean configs/digits_mix.yaml?",
    "--loop.guide NegativeGuidanc": "loop.guide = NegativeGuidanc: unknown class; did you mean "
    "NegativeGuidance?",
    "--loop.guide NegativeGuidance --loop.guide.wieght 1": "loop.guide.wieght: unknown key; did "
    "you mean loop.guide.weight?",
    "--loop.sampling.latents some": "loop.sampling.latents = some: must be one of fresh, same",
    "--config digits_mix": "config = digits_mix: no such file; did you mean configs/digits_mix.y",
    "--data.curator -1": "data.curator = -1: must name a class",
    "--data.curator.keep 0.5": "data.curator: missing; name its class, as --data.curator NAME",
    "--data.source [Digits]": "data.source = [Digits]: must name a class",
    "--data.regime Turnover": "data.regime.synthetic_fraction: missing; name it in the config",
    "--loop.classes some": "loop.classes = some: must be one of uniform, proportional",
    "--loop.features Pixels --loop.features.side 0": "loop.features.side = 0: must be at least 1",
    "--loop.measures Vendi": "loop.measures = Vendi: must be a list, such as [Vendi, Energy]",
    "--loop.measures [Vendy]": "loop.measures = Vendy: unknown class; did you mean Vendi?",
    "--model.augment.p 3": "model.augment.p = 3.0: must be a probability in [0, 1]",
    "--model.augment.scale 1": "model.augment.p: missing; name it in the configuration",
    "--model.augment.p 0.1": "model.network.augment_dim = 0: must be 9 with model.augment, or the",
    "--model.P_std -1": "model.P_std = -1.0: must be at least 0, and finite",
    "--model.sigma_data 0": "model.sigma_data = 0.0: must be a number > 0",
    "--model.optimizer Addam": "model.optimizer = Addam: unknown class; did you mean Adam?",
    "--model.optimizer.lr -1": "model.optimizer: Invalid learning rate: -1",
    "--model.optimizer.lr fast": "model.optimizer.lr = fast: must be a number",
    "--model.optimizer.betas 0.9": "model.optimizer.betas = 0.9: must be 2 numbers",
    "--trainer.accelerator gpuu": "trainer.accelerator = gpuu: must be one of auto, cpu, gpu",
    "--trainer.accumulate_grad_batches 0": "trainer.accumulate_grad_batches = 0: must be at least",
    "--trainer.callbacks+=Timr": "trainer.callbacks = Timr: unknown class; did you mean Timer?",
    "--trainer.callbacks [EarlyStoping]": "trainer.callbacks = EarlyStoping: unknown class; did ",
    "--trainer.deterministic maybe": "trainer.deterministic = maybe: must be one of true, false",
    "--trainer.devices two": "trainer.devices = two: must be auto, how many, or which",
    "--trainer.limit_val_batches -1": "trainer.limit_val_batches = -1: must be a count, or a sha",
    "--trainer.logger Wandb": "trainer.logger = Wandb: unknown class; did you mean WandbLogger?",
    "--trainer.max_time 3h": "trainer.max_time = 3h: must be DD:HH:MM:SS",
    "--trainer.profiler slow": "trainer.profiler = slow: must be one of simple, advanced",
    "configs/digits_mix.yaml": "configs/digits_mix.yaml: one argument too many; did you mean "
    "--config configs/digits_mix.yaml?",
}
OTHERS = {
    "fit": "model.network, data.source, data.regime: missing",
    "fit --data.source.path x": "model.network, data.source, data.regime: missing",
    "plot none": "runs = none: no such file or folder",
    "pool verify none": "run = none: no such file or folder",
    "evaluate none": "samples = none: no such file or folder",
    "prepare none out": "source = none: no such file or folder",
    "generate --ckpt none --seeds 1 --out x": "ckpt = none: no such file or folder",
    "evaluate configs --features inceptoin": "features = inceptoin: unknown class; did you mean "
    "inception?",
    "toy gaussian --rounds 0": "rounds = 0: must be at least 1",
    "toy gmm --lambdas 0.1,2": "lambdas = 2: must be numbers in [0, 1]",
    "toy diffusion --threshold 0": "threshold = 0: must be a number above 0",
    "toy gmm-samples --n 1": "n = 1: must be at least 2",
    "toy regression --replicas 0": "replicas = 0: must be at least 1",
    "toy strong-collapse --widths 3,2": "widths = 3,2: must be rising whole numbers from 1",
    "analyse min-real --toy gaussian --rho 2": "rho = 2: must lie in (0, 1)",
    "analyse bias-variance --toy ridge --replicas 1": "replicas = 1: must be at least 2",
    "control --rounds 0": "rounds = 0: must be at least 1",
    "prepare configs out --resolution 0": "resolution = 0: must be at least 1",
    "toy gaussian --regime Replce": "regime = Replce: must be one of Replace, Turnover, Augment, "
    "Accumulate, AccumulateSubsample, Fresh, FreshAccumulate, SlidingWindow, "
    "Growing, Then, or a class path; did you mean Replace?",
    "toy gmm --regime Turnovr": "regime = Turnovr: must be one of Replace",
    "toy regression --regime Nope": "regime = Nope: must be one of Replace",
    "generate --ckpt Makefile --seeds 5-3 --out x": "seeds = 5-3: 5-3 must rise, and lie in 0..",
    "generate --ckpt Makefile --seeds 1 --batch 0 --out x": "batch = 0: must lie in 1..4096",
    "control --std 0": "std = 0: must be numbers above 0, such as 1,0.5,0.2",
    "evaluate configs --n 1": "n = 1: must be at least 2",
    "evaluate configs --fraction 2": "fraction = 2: must lie in 0..1",
    "evaluate configs --measures [Bals]": "measures = Bals: unknown class",
    "measure configs --measures [Nope]": "measures = Nope: unknown class",
    "measure configs": "run = configs: has no finished round; name the folder of one",
    "plot configs": "runs = configs: holds no run; name a run's folder, or one of many",
    "report configs": "runs = configs: holds no run; name a run's folder, or one of many",
    "analyse profile configs": "runs = configs: holds no run",
    "analyse bias-variance configs": "runs = configs: holds no run",
    "export configs x.zip": "store = configs: holds no store, for want of a manifest.json",
    "pool verify configs": "run = configs: holds no run; name the folder of one",
    "pool repair configs": "run = configs: holds no run; name the folder of one",
    "sweep plans/demo.yaml --devices gpu": "devices = gpu: must be numbers of GPUs, or cpu",
    "toy kde --regime Nope": "regime = Nope: must be one of Replace",
    "toy discrete --regime Nope": "regime = Nope: must be one of Replace",
    "toy diffusion --regime Nope": "regime = Nope: must be one of Replace",
    "toy gmm --measures Vendi": "measures = Vendi: must be a list",
    "measure configs --features pixls": "features = pixls: unknown class",
    "evaluate configs --features -1": "features = -1: ",
    "analyse gmm configs --features 3": "features = 3: ",
    "generate --ckpt Makefile --seeds 1 --out x --device 0": "device = 0: must be such as cpu",
    "generate --class 3": "class: unknown key; did you mean label?",
    "generate --network x": "network: unknown key; did you mean ckpt?",
}


def test_mistakes_that_people_make_are_named_before_torch_is_there():
    told = {tuple([*FIT, *words.split()]): said for words, said in MISTAKES.items()}
    told |= {tuple(words.split()): said for words, said in OTHERS.items()}
    found = answers(*map(list, told))
    for (line, wanted), (said, slow, _) in zip(told.items(), found, strict=True):
        assert said.startswith(f"error: {wanted}"), (line, said)
        assert said.count("\n") == 1 and not slow, line


@pytest.mark.parametrize("section", _SECTIONS)
def test_an_outline_has_the_parameters_of_the_real_constructor(section):
    module, name = _SECTIONS[section]
    real = inspect.signature(getattr(import_module(module), name)).parameters
    read = outline(module)[name].parameters
    assert list(read) == list(real)
    for key, parameter in real.items():
        assert (parameter.default is parameter.empty) == (read[key].default is parameter.empty)
        if parameter.annotation in (int, bool, str, int | None, bool | None):
            assert read[key].annotation == parameter.annotation, key


def test_what_an_entry_calls_is_the_real_function(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "said.py").write_text(
        "import unwritten\nfrom pathlib import Path\n\nDEFAULT = Path('x')\n\n"
        "def main(words):\n    return work(words, path=DEFAULT), work\n\n"
        'def work(words, path: Path = DEFAULT):\n    """Works."""\n'
        "    return unwritten.at, words, path\n"
    )
    main = entry("said", "main")
    assert "said" not in sys.modules
    with pytest.raises(ModuleNotFoundError, match="unwritten"):
        main([1])
    (tmp_path / "unwritten.py").write_text("at = 'here'\n")
    result, work = main([1])
    assert result == ("here", [1], import_module("said").DEFAULT)
    assert work.__doc__ == "Works." and list(inspect.signature(work).parameters)[1] == "path"


def test_the_checks_that_a_function_begins_with_are_done_without_its_module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "checking.py").write_text(
        "from math import isfinite\nfrom torch import unwritten\n\n"
        "def main(*words):\n    return work(*words)\n\n"
        "def work(x, y=0):\n    isfinite(x)\n"
        "    for each in (x, y):\n        if each < 0:\n            raise ValueError(each)\n"
        "    unwritten(x)\n    if y > 9:\n        raise ValueError('after what is slow')\n"
    )
    main = entry("checking", "main")
    with pytest.raises(ValueError, match="-1"):
        main(0, -1)
    with pytest.raises(TypeError):
        main("x")
    with pytest.raises(ImportError, match="unwritten"):
        main(1, 10)


def test_every_option_of_every_class_may_be_named_before_torch():
    for module in {module for modules in _NESTED.values() for module in modules}:
        for name, read in outline(module).items():
            real = getattr(import_module(module), name)
            if isinstance(real, type) and name[0] != "_":
                assert set(read.parameters) == set(inspect.signature(real).parameters), name


def test_what_a_class_takes_is_taken_from_the_line_before_torch():
    needed = {"path": "configs", "synthetic_fraction": 0.5, "first": "Replace", "then": "Replace"}
    needed |= {"img_resolution": 8, "in_channels": 1, "out_channels": 1}
    tried = 0
    for section, modules in _NESTED.items():
        for module, name in ((each, name) for each in modules for name in outline(each)):
            made = getattr(import_module(module), name)
            if name[0] == "_" or not isinstance(made, type) or inspect.isabstract(made):
                continue
            told = ["--model.network.augment_dim=9"] * (section == "model.augment")
            own = inspect.signature(made).parameters
            for key in [key for key, one in own.items() if one.default is one.empty]:
                told += [f"--{section}.{key}={needed.get(key, 1)}"] * (key != "passed")
            options = {key: one.default for key, one in own.items()}
            plain = {k: v for k, v in options.items() if isinstance(v, (int, float, str))}
            for key, value in plain.items():
                value = ".inf" if value == math.inf else value
                line = ["--config=configs/digits_mix.yaml", f"--{section}={name}"]
                for full in (f"{section}.{key}", f"{section}.init_args.{key}"):
                    check_words([*line, *told, f"--{full}={value}"])
                    tried += 1
    assert tried > 150


def test_every_hint_names_an_option_that_there_is():
    known = {*keys_of_fit()}
    for words in COMMANDS:
        name = words[0] if words[0] == "pool" else "_".join(words).replace("-", "_")
        module = import_module(f"{ROOM}.{name}")
        for function in vars(module).values():
            if callable(function) and getattr(function, "__module__", "") == module.__name__:
                known |= set(inspect.signature(function).parameters)
    known |= {"steps", "solver", "schedule", "measures"}
    for meant in hints._ELSEWHERE.values():
        assert known >= set(meant)
