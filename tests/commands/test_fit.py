"""The command line: what a run's folder holds, and mistakes, refused in one line beforehand."""

import csv
import gc
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_runs import CONFIGS, arguments, assert_same, outcome, records

from lightning_collapse.commands.fit import CollapseCLI, run_fit
from lightning_collapse.data.sources.points import Mixture
from lightning_collapse.sweeps.claims import noted

REGIME = "data__regime__init_args__"
NETWORK = "model__network__init_args__"


@pytest.fixture
def refused(capsys):
    """Runs a command that must be refused; gives the one line it is refused with."""

    def run(words: list[str]) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            run_fit(words)
        assert left.value.code == 2
        out, err = capsys.readouterr()
        # Above the line there may be the table of what has changed.
        assert out == "" or out.startswith("changed "), out
        assert err.startswith("error: ") and err.count("\n") == 1, err
        return err.removeprefix("error: ").strip()

    return run


def trained(run: Path) -> bool:
    """Whether anything was computed or recorded."""
    kept = [*run.glob("checkpoints/*"), *run.glob("pool/0*"), *run.glob("*.*")]
    return bool([path for path in kept if path.name != ".lock"])


def test_a_runs_folder_holds_all_of_it(tmp_path, capsys):
    run_fit(arguments(tmp_path))
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")}
    assert {"config.yaml", "rounds.jsonl", "rounds.csv", "collapse.png"} <= names
    for r in ("0000", "0001"):
        assert {f"pool/{r}/manifest.json", f"pool/{r}/preview.png"} <= names
        assert f"checkpoints/round-{r}.ckpt" in names
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == f"picture: {tmp_path / 'collapse.png'}"
    assert [line.split()[0] for line in out.splitlines()[:3]] == ["round", "0", "1"]


def written(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict) else "" if value is None else str(value)


def test_the_table_of_rounds_is_the_same_in_csv(tmp_path):
    run_fit(arguments(tmp_path))
    with open(tmp_path / "rounds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [
        {name: written(value) for name, value in record.items()} for record in records(tmp_path)
    ]
    assert rows == expected


def test_the_recorded_configuration_is_whole_and_starts_the_same_run(tmp_path):
    run_fit(arguments(tmp_path / "a", seed_everything=3))
    recorded = tmp_path / "a" / "config.yaml"
    config = yaml.safe_load(recorded.read_text())
    assert config["seed_everything"] == config["data"]["seed"] == config["model"]["seed"] == 3
    assert config["data"]["images_per_round"] == 64
    for part in ("data", "model"):
        del config[part]["seed"]  # given once, by seed_everything
    recorded.write_text(yaml.safe_dump(config))
    run_fit(["--config", str(recorded), "--run", str(tmp_path / "b")])
    assert_same(outcome(tmp_path / "a"), outcome(tmp_path / "b"))


def test_the_same_command_goes_on_and_may_ask_for_more_rounds(tmp_path):
    run_fit(arguments(tmp_path / "a"))
    changed = {"data__num_workers": 1, "loop__checkpoint_every": 3}
    run_fit(arguments(tmp_path / "a", trainer__max_epochs=3, **changed))
    run_fit(arguments(tmp_path / "b", trainer__max_epochs=3))
    assert_same(outcome(tmp_path / "a"), outcome(tmp_path / "b"))


def test_a_run_is_named_after_its_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = arguments(Path("unused"), trainer__max_epochs=1)
    at = words.index("--run")
    run_fit(words[:at] + words[at + 2 :])
    assert (tmp_path / "runs" / "points_replace" / "rounds.jsonl").is_file()


MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    (
        "digits_mix",
        {REGIME + "synthetic_fraction": 1.5},
        "data.regime.synthetic_fraction = 1.5: .*[0, 1]",
    ),
    ("points_replace", {"data__source__init_args__n": 0}, "data.source.n = 0: .* at least 1"),
    ("points_replace", {"loop__sampling__S_churn": 3}, "loop.sampling.S_churn = 3.0: only solver"),
    ("digits_mix", {REGIME + "synthetic_fraction": -0.1}, "synthetic_fraction = -0.1: "),
    ("digits_mix", {REGIME + "synthetic_fraction": "nan"}, "synthetic_fraction = nan: .* number"),
    ("digits_mix", {REGIME + "synthetic_fraction": ".nan"}, "synthetic_fraction = nan: .* number"),
    ("digits_mix", {REGIME + "synthetic_fraction": "half"}, "synthetic_fraction = half: "),
    (
        "digits_mix",
        {REGIME + "sythetic_fraction": 1},
        "data.regime.sythetic_fraction: .* mean data.regime.synthetic_f",
    ),
    ("digits_mix", {"data__samples_per_round": 23}, "samples_per_round = 23: .* 24"),
    *(
        ("points_replace", {"loop__measures": json.dumps([{"class_path": name, **init}])}, said)
        for name, init, said in (
            ("Balls", {"init_args": {"kk": 3}}, "^loop.measures.kk: .* mean loop.measures.k?"),
            ("Balls", {"init_args": {"k": "x"}}, "^loop.measures.k = x: must be a whole number"),
            ("Balls", {"init_args": {"k": 0}}, "^loop.measures.k = 0: must be at least 1"),
            (
                "torchmetrics.MeanMetric",
                {"init_args": {"kk": 3}},
                "^loop.measures.kk: unknown key",
            ),
        )
    ),
    ("points_replace", {"model__network": "torch.nn.Linear"}, "^model.network.in_features, "),
    (
        "points_replace",
        {"trainer__callbacks": '[{"class_path": "EarlyStopping"}]'},
        "^trainer.callbacks.monitor: missing",
    ),
    ("points_replace", {"trainer__logger": "CSVLogger"}, "^trainer.logger.save_dir: missing"),
    ("points_replace", {"trainer__max_epochs": 0}, "trainer.max_epochs = 0: .* at least 1"),
    ("points_replace", {"trainer__max_epoch": 3}, "trainer.max_epoch: unknown key; .*max_epochs"),
    ("points_replace", {"data__train_row": 3}, "data.train_row: unknown key; .* data.train_rows"),
    ("points_replace", {"data__batch_size": "many"}, "data.batch_size = many: .* whole number"),
    ("points_replace", {"data__batch_size": 0}, "data.batch_size = 0: must be at least 1"),
    ("points_replace", {"data__train_rows": 60}, "data.train_rows = 60: the set has 64 rows"),
    ("points_replace", {"data__regime": "Replce"}, "data.regime = Replce: .* mean Replace?"),
    ("points_replace", {"data__source": "Mixtures"}, "data.source = Mixtures: .* mean Mixture?"),
    ("points_replace", {"model__restart": "cold"}, "model.restart = cold: .* scratch, warm, init"),
    ("points_replace", {"model__init_from": "/no"}, "model.init_from = /no: "),
    ("points_replace", {"model__optimizer__lr": "abc"}, "lr = abc: must be a number"),
    ("points_replace", {"seed_everything": "true"}, "seed_everything = True: .* integer >= 0"),
    ("points_replace", {"seed_everything": -1}, "seed_everything = -1: .* integer >= 0"),
    ("points_replace", {"ckpt_path": "/no.ckpt"}, "ckpt_path = /no.ckpt: no such file"),
    ("points_replace", {"loop__micro_batch": 5000}, "loop.micro_batch = 5000: .* at most 4096"),
    ("points_replace", {"loop__fd_rows": 100}, "loop.fd_rows = 100: a round makes 48"),
    ("points_replace", {"loop__sampling__solver": "hein"}, "solver = hein: .* mean heun?"),
    ("points_replace", {"trainer__fast_dev_run": "true"}, "trainer.fast_dev_run = True: "),
    # 3 or 3.0: typing gives int | float in the order in which some module first wrote it.
    ("points_replace", {"trainer__limit_train_batches": 3}, "limit_train_batches = 3"),
    ("points_replace", {"trainer__min_epochs": 2}, "trainer.min_epochs = 2: "),
    (
        "points_replace",
        {"trainer__precision": "bf16-true"},
        "precision = bf16-true: .* bf16-mixed",
    ),
    ("points_replace", {"trainer__precision": "8"}, "trainer.precision = 8: .* bf16-mixed"),
    (
        "points_replace",
        {"trainer__strategy": "ddp_spawn"},
        "trainer.strategy = ddp_spawn: .* ddp,",
    ),
    ("points_replace", {NETWORK + "dim": 3}, "model.network: does not take rows of shape .2,."),
    ("digits_mix", {NETWORK + "img_resolution": 16}, "model.network: .* shape .1, 8, 8."),
    ("digits_mix", {NETWORK + "channels": 3}, "model.network: .* shape .1, 8, 8."),
    ("digits_mix", {NETWORK + "label_dim": 5}, "model.network: label_dim = 5, .* up to 9; set"),
    (
        "points_replace",
        {"trainer__devices": 3, "trainer__strategy": "ddp"},
        "data.batch_size = 16: must be a multiple of the 3 processes",
    ),
]


@pytest.mark.parametrize(("config", "changed", "said"), MISTAKES, ids=lambda part: str(part)[:40])
def test_a_mistake_is_one_line_before_any_training(tmp_path, refused, config, changed, said):
    message = refused(arguments(tmp_path, config, **changed))
    assert re.match(rf".*{said.replace('[0, 1]', re.escape('[0, 1]'))}", message), message
    assert not trained(tmp_path)


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ({"class_path": "CIFAR10", "init_args": {"root": "/no"}}, "data.source.root = /no: "),
        (
            {"class_path": "ImageFolder", "init_args": {"path": "/no", "resolution": 8}},
            "data.source.path = /no: ",
        ),
    ],
    ids=["CIFAR10", "ImageFolder"],
)
def test_data_that_is_not_there(tmp_path, refused, source, field):
    words = arguments(tmp_path / "run", "digits_mix", data__source=json.dumps(source))
    assert refused(words).startswith(field)
    assert not trained(tmp_path / "run")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("data:\n  sourcee: Digits\n", "data.sourcee: unknown key; did you mean data.source?"),
        (
            (CONFIGS / "digits_mix.yaml").read_text().replace("synthetic_", "syntetic_"),
            "data.regime.syntetic_fraction: unknown key; did you mean "
            "data.regime.synthetic_fraction?",
        ),
        ("data:\n  batch_size: many\n", "data.batch_size = many: must be a whole number"),
        ("seed_everything: 0\n", "model.network, data.source, data.regime: missing; name it "),
        ("data: [\n", "config = "),
        (None, "config = "),
    ],
)
def test_a_mistake_in_a_configuration_file(tmp_path, refused, lines, said):
    if lines is not None:
        (tmp_path / "mine.yaml").write_text(lines)
    assert refused(["--config", str(tmp_path / "mine.yaml")]).startswith(said)


def test_an_option_that_a_class_lacks_is_named_in_full(tmp_path, refused):
    (tmp_path / "mine.yaml").write_text((CONFIGS / "points_replace.yaml").read_text())
    said = refused(["--config", str(tmp_path / "mine.yaml"), "--data.regime", "Turnover"])
    assert said.startswith("data.regime.synthetic_fraction: missing; name it ")


def test_a_network_with_classes_needs_labels(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(
        Mixture, "read", lambda self, seed, read=Mixture.read: (read(self, 0)[0], None)
    )
    message = refused(arguments(tmp_path, model__network__init_args__label_dim=3))
    assert message.startswith(
        "model.network: is conditioned on 3 classes, but the rows of Mixture"
    )


@pytest.fixture(scope="module")
def started(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("started")
    run_fit(arguments(run, trainer__max_epochs=1))
    return run


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data__train_rows": 40}, "data.train_rows = 40 (was 48)"),
        ({"data__source__init_args__n": 65}, "data.source.init_args.n = 65 (was 64)"),
        ({NETWORK + "width": 32}, "model.network.init_args.width = 32 (was 16)"),
        ({"seed_everything": 1}, "data.seed = 1 (was 0)"),
        ({"data__regime": "Accumulate"}, 'data.regime.class_path = "lightning_collapse.Accum'),
        ({REGIME + "synthetic_fraction": 0.5}, "synthetic_fraction = 0.5 (was 1.0)"),
        ({"model__restart": "warm"}, 'model.restart = "warm" (was "scratch")'),
        ({"loop__micro_batch": 16}, "loop.micro_batch = 16 (was 8)"),
        ({"trainer__precision": "bf16-mixed"}, 'trainer.precision = "bf16-mixed" (was null)'),
        ({"trainer__accumulate_grad_batches": 2}, "trainer.accumulate_grad_batches = 2 (was 1)"),
    ],
    ids=lambda part: str(part)[:40],
)
def test_what_a_run_was_started_with_cannot_change(started, refused, changed, said):
    before = outcome(started), (started / "config.yaml").read_text()
    message = refused(arguments(started, **changed))
    assert said in message and message.endswith("or choose another folder")
    assert_same((outcome(started), (started / "config.yaml").read_text()), before)


def test_a_run_cannot_end_before_the_rounds_that_it_has(started, refused):
    run_fit(arguments(started, trainer__max_epochs=2))
    before = outcome(started), (started / "config.yaml").read_text()
    message = refused(arguments(started, trainer__max_epochs=1))
    assert message.startswith("trainer.max_epochs = 1: the run in ") and "has 2 rounds" in message
    assert_same((outcome(started), (started / "config.yaml").read_text()), before)


@pytest.mark.parametrize("content", [b"torn", pickle.dumps({"ema": 1})], ids=["torn", "pickle"])
def test_a_checkpoint_that_cannot_be_read(started, refused, tmp_path, content):
    path = tmp_path / "other.ckpt"
    path.write_bytes(content)
    message = refused(arguments(started, ckpt_path=path, trainer__max_epochs=2))
    assert message.startswith(f"ckpt_path = {path}: is not a checkpoint of a run, or damaged")


@pytest.mark.parametrize(
    "wrong",
    [
        {NETWORK + "dim": 3},
        {"data__source__init_args__n": 63},
    ],
    ids=str,
)
def test_a_wrong_command_leaves_nothing_that_hinders_the_right_one(tmp_path, refused, wrong):
    refused(arguments(tmp_path / "a", **wrong))
    for run in ("a", "b"):
        run_fit(arguments(tmp_path / run))
    assert_same(outcome(tmp_path / "a"), outcome(tmp_path / "b"))


@pytest.mark.parametrize("run", ["/dev/null/x", "/proc/nope"])
def test_a_folder_that_cannot_be_written(refused, run):
    assert refused(arguments(Path(run))).startswith(f"run = {run}: cannot be written (")


def test_a_folder_in_use(tmp_path, refused):
    holder = (
        "import fcntl, sys; file = open(sys.argv[1], 'a+'); fcntl.flock(file, fcntl.LOCK_EX);"
        "file.write('process 7 on elsewhere'); file.flush(); print('held', flush=True); input()"
    )
    words = [sys.executable, "-c", holder, str(tmp_path / ".lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        message = refused(arguments(tmp_path))
        other.stdin.close()
    assert message.startswith(f"run = {tmp_path}: in use by process 7 on elsewhere; wait")
    assert not trained(tmp_path)
    # The other has gone, with its lock; so has this process's, though objects of it may linger.
    gc.disable()
    for rounds in (1, 2):
        run_fit(arguments(tmp_path, trainer__max_epochs=rounds))
    gc.enable()


def test_the_front_door_ends_with_status_2_and_one_line(tmp_path, cli):
    line = "error: trainer.max_epochs = 0: must be at least 1 round\n"
    assert cli("fit", *arguments(tmp_path, trainer__max_epochs=0)) == (2, "", line)


def test_the_run_of_an_agent_is_in_the_events_of_its_study(tmp_path):
    """As W&B's agents start it: by its options, in the folder of a study."""
    claims = tmp_path / "study" / ".claims"
    claims.mkdir(parents=True)
    words = arguments(tmp_path / "unused", trainer__max_epochs=1)
    at = words.index("--run")
    words[at : at + 2] = ["--run_root", str(claims.parent)]
    run_fit(words)
    codes = {1: "failed", 2: "failed", 130: "stopped", 143: "stopped", 0: "done"}
    for code in codes:
        with pytest.raises(SystemExit), noted(claims.parent, "other"):
            sys.exit(code)
    events = [json.loads(line) for line in (claims / "events.jsonl").read_text().splitlines()]
    told = [(event["event"], event.get("how")) for event in events]
    assert told == [pair for how in ("done", *codes.values()) for pair in _start_and_end(how)]
    assert (claims.parent / events[0]["run"] / "rounds.jsonl").is_file()


def _start_and_end(how: str) -> list[tuple[str, str | None]]:
    return [("start", None), ("end", how)]


def test_a_run_root_names_the_folder_after_the_options(tmp_path, refused):
    def folder(*more: str) -> Path:
        words = arguments(tmp_path / "unused")
        at = words.index("--run")
        words[at : at + 2] = ["--run_root", str(tmp_path / "root")]
        return CollapseCLI([*words, *more]).config.run

    first = folder()
    assert first.parent == tmp_path / "root" and re.fullmatch(r"\w+-[0-9a-f]{8}", first.name)
    # What does not touch results leads to the same folder, anything else to another.
    assert folder("--trainer.max_epochs", "9") == first
    assert folder("--seed_everything", "7") != first
    # As a sweep has named it.
    named = first.with_name(f"lambda=0.5-{first.name[-8:]}")
    named.mkdir(parents=True)
    assert folder() == named
    words = [*arguments(tmp_path / "run"), "--run_root", "root"]
    assert refused(words) == "run_root = root: --run names a folder; leave one out"
