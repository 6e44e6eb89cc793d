"""The pages: commands that are understood as they stand, and tutorials that do what they say."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from interop.lookalikes import SMALL as THEIRS
from interop.lookalikes import LookAlike
from PIL import Image
from tiny_runs import DIGITS_MODEL, POINTS_MODEL, arguments

import lightning_collapse
from lightning_collapse import nvidia_network
from lightning_collapse.toys.tables import only_checks

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "checkpoints/README.md", *ROOT.glob("docs/**/*.md")])
# Words that stand for something, and classes of a user's file, which tests of their own run.
_OPEN = re.compile(r"…|\bmine\.|\bC\b|RUN_OR_SWEEP|\bPLAN\b|\bNAME\b|,\.\.\.")


def commands(text: str) -> list[list[str]]:
    """Gives the words of all commands of ours in a page's blocks, lines that go on joined."""
    joined = re.sub(r" \\\n\s*", " ", text)
    lines = re.findall(
        r"^(?:    )?(?:srun.*|torchrun.*|nice )?"
        r"(?:lightning-collapse|-m lightning_collapse) (.*)$",
        joined.replace("torchrun --standalone --nproc_per_node 8 -m", "-m"),
        flags=re.MULTILINE,
    )
    return [shlex.split(line, comments=True) for line in lines if not _OPEN.search(line)]


def named(words: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if word.startswith("--")]


COMMANDS = sorted({tuple(line) for page in PAGES for line in commands(page.read_text())})


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words)[:60])
def test_a_command_on_a_page_is_understood(words, cli, monkeypatch):
    monkeypatch.chdir(ROOT)
    if words[0] in ("analyse", "doctor") or "--list" in words or "--help" in words[-1]:
        deep = 2 if words[0] == "analyse" else 1
        status, out, _ = cli(*words[:deep], "--help")
        assert status == 0
        for option in named(list(words)):
            assert re.search(rf"{option}\b", out.replace("_", "-")) or option in out, option
        return
    status, err = 0, ""
    if words[0] == "toy":
        with only_checks():  # ends what is right before it computes
            status, _, err = cli(*words)
    else:
        status, _, err = cli(*words, "--print_config")
    assert status == 0, err


def blocks(page: str) -> list[tuple[str, str | None, str]]:
    """Gives language, title and text of the blocks of a tutorial."""
    text = (ROOT / "docs/tutorials" / f"{page}.md").read_text()
    found = re.findall(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', text, re.S | re.M)
    return [(language, title or None, body) for language, title, body in found]


def tiny(config: str) -> dict[str, str]:
    model = POINTS_MODEL if "points" in config else DIGITS_MODEL
    words = arguments(Path("run"), data__samples_per_round=48)[4:]
    options = dict(zip(words[::2], words[1::2], strict=True))
    options = {key[2:]: value for key, value in options.items() if not key.startswith("--model")}
    options.pop("data.source.init_args.n")
    return options | {key.replace("__", "."): str(value) for key, value in model.items()}


SMALL = {
    "generate": ["--seeds", "0-15", "--steps", "3"],
    "toy gaussian": ["--replicas", "20", "--rounds", "5"],
    "analyse min-real": ["--replicas", "400"],
}


def smaller(words: list[str]) -> list[str]:
    """Gives the same command at a size for tests; options given again replace the first ones."""
    if words[0] == "fit":
        options = tiny(words[words.index("--config") + 1])
        if "--model.network" in words:
            options = {k: v for k, v in options.items() if not k.startswith("model.network")}
        pairs = [[f"--{key}", value] for key, value in options.items()]
        return [*words, *(word for pair in pairs for word in pair)]
    key = words[0] if words[0] in SMALL else " ".join(words[:2])
    return [*words, *SMALL.get(key, [])]


@pytest.fixture
def follow(tmp_path, monkeypatch, cli):
    """Does what a tutorial says in a folder that has what a clone has."""
    for name in ("configs", "plans", "checkpoints"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(page: str, skip: str = "nothing") -> str:
        said = ""
        for language, title, body in blocks(page):
            if title and title.endswith(".yaml"):
                plan = yaml.safe_load(body)
                plan["set"] |= tiny(plan["config"])
                plan["grid"]["seed"] = [0]
                Path(title).write_text(yaml.safe_dump(plan, sort_keys=False))
            elif title:
                Path(title).write_text(body)
            for words in [] if language != "bash" else whole(body):
                if re.search(skip, " ".join(words)):
                    continue
                status, out, err = cli(*smaller(words))
                assert status == 0, (words, err)
                said += out
        return said

    yield run
    sys.modules.pop("mine", None)


def whole(body: str) -> list[list[str]]:
    ours = r"^(?:lightning-collapse|torchrun .* -m lightning_collapse) (.*)$"
    lines = re.findall(ours, body, flags=re.MULTILINE)
    return [shlex.split(line) for line in lines]


def test_the_first_collapse_is_seen(follow):
    said = follow("first_collapse")
    assert Path("runs/replace/collapse.png").is_file() and Path("first.png").is_file()
    assert "undecided" in Path("first.html").read_text()  # one seed, here
    assert len(list(Path("sweeps/first").glob("*/rounds.jsonl"))) == 3
    assert list(Path("first_figures").glob("*.svg")) and Path("EXPERIMENTS.md").is_file()
    assert Path("digits-preview.png").is_file() and "fd_pixels" in said


def test_how_much_real_data_is_told_where_theory_knows(follow):
    said = follow("real_data", skip="--config")
    assert re.search(r"\b1[4-8]\b", said)


def test_ones_own_parts_are_taken_everywhere(follow):
    said = follow("own_parts")
    assert "reach_points" in said
    records = lightning_collapse.Run("runs/spiral").records
    assert [one["n_synthetic"] for one in records] == [0, 48]
    assert records[1]["reach_points_floor"] > 0


@pytest.mark.slow
def test_a_sweep_for_slurm_is_submitted_and_reported(follow, cli, monkeypatch):
    Path("bin").mkdir()
    for name, says in (("sbatch", "41"), ("squeue", "")):
        Path("bin", name).write_text(f"#!/bin/sh\necho {says}\n")
        Path("bin", name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path('bin').resolve()}:{os.environ['PATH']}")
    said = follow("slurm", skip="^report")
    assert said.count(" fit ") >= 3 and "submitted as SLURM job 41: 3 runs" in said
    # What SLURM would do.
    assert cli("sweep", "shares.yaml", "--devices", "cpu,cpu")[0] == 0
    follow("slurm", skip="^(?!report)")
    assert "collapse" in Path("shares.html").read_text()


NVIDIAS = {"img_resolution": 8, "img_channels": 3, "dropout": 0.25}
# A clone without GPUs, and photographs of 8 pixels in place of 64.
HERE = {
    "/data/afhq/train": "photos",
    "--resolution 64": "--resolution 8",
    "--seeds 0-63 --steps 40": "--seeds 0-15 --steps 3",
    "--seeds 0-49999 --steps 40": "--seeds 0-15 --steps 3",
    " --launcher slurm --at_once 16": " --devices cpu,cpu",
    "--json figures.json": "--features Pixels --json figures.json",
    "--trainer.devices 8 --trainer.strategy ddp --trainer.precision bf16-mixed": "",
}
SMALLER = {
    "model.network.img_resolution": 8,
    "model.network.model_channels": 8,
    "model.network.channel_mult": [1],
    "model.network.num_blocks": 1,
    "model.network.attn_resolutions": [8],
    "data.held_out_rows": 16,
    "data.images_per_round": 16,
    "data.batch_size": 8,
    "data.samples_per_round": 32,
    "loop.features": "Pixels",
    "loop.fd_rows": 16,
    "loop.sampling.num_steps": 3,
    "trainer.max_epochs": 2,
    "trainer.accelerator": "cpu",
    "trainer.logger": False,
}


@pytest.mark.slow
def test_from_nvidias_checkpoint_to_a_curve(follow, cli, monkeypatch):
    """Of a network like theirs, smaller, all that the tutorial says but `doctor`."""
    Path("checkpoints").unlink()
    Path("checkpoints").mkdir()
    kwargs = {**THEIRS, **NVIDIAS}
    alike = LookAlike(network=nvidia_network(**kwargs), init_kwargs=kwargs)
    Path("checkpoints/edm-afhqv2-64x64-uncond-vp.pkl").write_bytes(alike.bytes())
    Path("photos").mkdir()
    for i in range(48):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"photos/{i}.png")
    plan = yaml.safe_load(Path("plans/server_afhqv2.yaml").read_text())
    prepared = {"data.source": "Prepared", "data.source.path": "data/afhq64"}
    plan |= {"set": {**prepared, **SMALLER}}
    plan["grid"] = {"data.regime.synthetic_fraction": [1.0], "seed": [0]}
    Path("plans").unlink()
    Path("plans").mkdir()
    Path("plans/server_afhqv2.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    told = {key: v if isinstance(v, str) else json.dumps(v) for key, v in SMALLER.items()}
    small = [word for key, value in told.items() for word in (f"--{key}", value)]
    for _, _, body in blocks("nvidia"):
        for there, here in HERE.items():
            body = body.replace(there, here)
        for words in whole(body):
            if words[0] != "doctor":
                status, _, err = cli(*words, *(small if words[0] == "fit" else []))
                assert status == 0, (words, err)
    (first, second) = lightning_collapse.Run("runs/afhq").records
    assert first["real_data_in_init"] and first["images_seen"] == 0 < second["images_seen"]
    assert Path("afhqv2.png").is_file() and list(Path("figures").glob("*.pdf"))
    assert "fd" in Path("figures.json").read_text()
