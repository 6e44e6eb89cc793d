"""Every file of a finished run, damaged in every way: found, named, never trained on, repaired."""

import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import CrashError, arguments, assert_same, crash, outcome

from lightning_collapse.commands import fit as cli
from lightning_collapse.commands import pool, running
from lightning_collapse.data.sources.points import Mixture
from lightning_collapse.lit import assemble
from lightning_collapse.lit import round as round_end
from lightning_collapse.runs.layout import Run
from lightning_collapse.samples.rounds import RoundSampler


def flip(at: float, bit: int = 0) -> Callable[[Path], None]:
    """Flips a bit at a share `at` of the file."""

    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[min(int(at * len(data)), len(data) - 1)] ^= 1 << bit
        rewrite(path, bytes(data))

    return damage


def cut(left: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        data = path.read_bytes()
        rewrite(path, data[: int(left * len(data))])

    return damage


def rewrite(path: Path, data: bytes) -> None:
    path.unlink()  # another name of the file stays as it is
    path.write_bytes(data)


FEW = {"flip": flip(0.6), "cut": cut(0.5), "delete": Path.unlink}
ALL = {
    **{f"flip {at} {bit}": flip(at, bit) for at in (0, 0.1, 0.3, 0.6, 0.9, 1) for bit in (0, 6)},
    **{f"cut {left}": cut(left) for left in (0, 0.01, 0.5, 0.9, 0.9999)},
    "delete": Path.unlink,
}
REPAIRED = ("shard", "preview", "rounds", "config", "last.ckpt", "round-0001", "real")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("finished")
    torch.set_num_threads(1)
    cli.run_fit(words(run))
    return run


def words(run: Path, **changed: Any) -> list[str]:
    accumulate = {"data__regime": "Accumulate", "loop__micro_batch": 24}
    return arguments(run, **{**accumulate, **changed})


@pytest.fixture
def status(capsys):
    """Runs a command; gives its exit status and what it printed."""

    def run(command: Callable[[Any], None], argument: Any) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            command(argument)
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out + err

    return run


def files(run: Path) -> list[Path]:
    """All files that hold a run's state, relative to its folder."""
    left_out = (".lock", ".id", "collapse.png")
    paths = [path for path in run.rglob("*") if path.is_file() and path.name not in left_out]
    return sorted(path.relative_to(run) for path in paths)


def content(run: Path) -> dict[Path, bytes]:
    return {path: (run / path).read_bytes() for path in files(run)}


def test_an_intact_run_is_said_to_be(finished, status):
    n = len(files(finished))
    assert n >= 15
    assert status(pool.verify, finished) == (0, f"{n} files checked, 0 damaged\n")
    assert status(pool.repair, finished) == (0, "files repaired: 0, left damaged: 0\n")


def check_found_and_repaired(finished: Path, run: Path, status, path: Path, damage) -> None:
    before = content(finished)
    shutil.copytree(finished, run)
    damage(run / path)
    code, out = status(pool.verify, run)
    assert code == 1 and str(run / path) in out and " 1 damaged" in out, out
    code, out = status(pool.repair, run)
    if any(name in str(path) for name in REPAIRED):
        assert code == 0 and content(run) == before, out
    else:  # nothing can be done, which is said; the rest is as it was
        assert code == 1 and str(run / path) in out
        after = content(run)
        assert {p: b for p, b in after.items() if p != path} == {
            p: b for p, b in before.items() if p != path
        }
    shutil.rmtree(run)


SAMPLE = [
    "config.yaml",
    "rounds.jsonl",
    "rounds.csv",
    "pool/real/manifest.json",
    "pool/real/shard-00000.npy",
    "pool/0000/manifest.json",
    "pool/0000/shard-00001.npy",
    "pool/0001/preview.png",
    "checkpoints/last.ckpt",
    "checkpoints/round-0000.ckpt",
    "checkpoints/round-0001.ckpt",
]


@pytest.mark.parametrize(("path", "damage"), list(zip(SAMPLE, 4 * list(FEW), strict=False)))
def test_damage_is_found_and_repaired(tmp_path, finished, status, path, damage):
    check_found_and_repaired(finished, tmp_path / "run", status, Path(path), FEW[damage])


@pytest.mark.slow
@pytest.mark.parametrize("damage", ALL)
def test_every_damage_to_every_file_is_found_and_repaired(tmp_path, finished, status, damage):
    for path in files(finished):
        check_found_and_repaired(finished, tmp_path / "run", status, path, ALL[damage])


HOPELESS = ("pool/0000/manifest.json", "pool/0001/manifest.json", "checkpoints/round-0000.ckpt")
COPIES = {"checkpoints/last.ckpt", "checkpoints/round-0001.ckpt"}  # of each other


def lost(pair: set[str]) -> set[str]:
    """Gives what of two damaged files nothing can bring back."""
    gone = {name for name in pair if name in HOPELESS} | (pair if pair == COPIES else set())
    needed = {
        name: {f"checkpoints/round-{r}.ckpt", f"pool/{r}/manifest.json"}
        for r in ("0000", "0001")
        for name in [f"pool/{r}/shard-0000{i}.npy" for i in (0, 1)] + [f"pool/{r}/preview.png"]
    }
    for r in ("0000", "0001"):
        needed[f"pool/{r}/preview.png"] = {f"pool/{r}/manifest.json"}
    for table in ("rounds.jsonl", "rounds.csv"):
        needed[table] = {"pool/0000/manifest.json", "pool/0001/manifest.json"}
    return gone | {name for name in pair if needed.get(name, set()) & gone}


def check_pair(finished: Path, run: Path, pair: tuple[str, str], how: str) -> None:
    shutil.copytree(finished, run)
    before = content(run)
    for name in pair:
        FEW[how](run / name)
    told = Run(run).repair()
    after = {path: data for path, data in content(run).items() if before[path] == data}
    left = {str(path) for path in before.keys() - after.keys()}
    assert left == lost(set(pair)), (pair, told)
    assert {str(path.relative_to(run)) for path in told} <= set(pair)
    # There is nothing that a second time could do.
    assert Run(run).repair().keys() == {
        path for path in told if str(path.relative_to(run)) in left
    }
    shutil.rmtree(run)


@pytest.mark.parametrize("how", ["flip", "delete"])
@pytest.mark.parametrize(
    "pair",
    [
        ("pool/0001/shard-00001.npy", "checkpoints/round-0001.ckpt"),
        ("config.yaml", "pool/0000/shard-00000.npy"),
        ("config.yaml", "pool/real/manifest.json"),
        ("pool/real/manifest.json", "pool/real/shard-00000.npy"),
        ("checkpoints/last.ckpt", "config.yaml"),
        ("pool/0000/preview.png", "pool/0000/shard-00000.npy"),
        ("checkpoints/last.ckpt", "checkpoints/round-0001.ckpt"),
        ("checkpoints/last.ckpt", "pool/0000/manifest.json"),
    ],
)
def test_of_two_damaged_files_one_repair_mends_all_that_can_be(tmp_path, finished, pair, how):
    check_pair(finished, tmp_path / "run", pair, how)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["flip", "delete"])
def test_of_any_two_damaged_files_one_repair_mends_all_that_can_be(tmp_path, finished, how):
    for pair in combinations(map(str, files(finished)), 2):
        check_pair(finished, tmp_path / "run", pair, how)


def test_rows_of_a_source_that_has_changed_since_do_not_become_the_runs(
    tmp_path, finished, status, monkeypatch
):
    run, read = tmp_path / "run", Mixture.read
    shutil.copytree(finished, run)
    for name in ("manifest.json", "shard-00000.npy"):
        FEW["flip"](run / "pool" / "real" / name)
    before = content(run)
    monkeypatch.setattr(Mixture, "read", lambda *args: (read(*args)[0] + 1e-3, None))
    code, out = status(pool.repair, run)
    assert code == 1 and content(run) == before
    assert "other rows than shard-00000.npy holds; if that is damaged too, remove it" in out


@pytest.fixture(scope="module")
def extended(tmp_path_factory, finished) -> dict[str, Any]:
    run = tmp_path_factory.mktemp("extended") / "run"
    shutil.copytree(finished, run)
    cli.run_fit(words(run, trainer__max_epochs=3))
    return outcome(run)


def check_never_trained_on(finished, run, extended, capsys, path, damage) -> bool:
    """Whether the run was refused; if it was not, it must have gone on as if undamaged."""
    shutil.copytree(finished, run)
    damage(run / path)
    try:
        cli.run_fit(words(run, trainer__max_epochs=3))
    except SystemExit as left:
        assert left.code == 2
        *before, last = capsys.readouterr().err.splitlines()
        # Once the run has said where it is, where only reading shows what is damaged.
        assert [line[:13] for line in before] in ([], ["goes on from "]), before
        assert last.startswith("error: ") and str(run / path) in last, last
        refused = True
    else:
        assert_same(outcome(run)["rounds"], extended["rounds"])
        assert_same(outcome(run)["state_dict"], extended["state_dict"])
        refused = False
    shutil.rmtree(run)
    return refused


@pytest.mark.parametrize(
    ("path", "damage"),
    [
        ("pool/0000/shard-00001.npy", "flip"),
        ("pool/real/shard-00000.npy", "cut"),
        ("pool/0000/manifest.json", "delete"),
        ("checkpoints/last.ckpt", "delete"),
        ("checkpoints/last.ckpt", "flip"),
        ("config.yaml", "flip"),
    ],
)
def test_damage_is_never_trained_on(tmp_path, finished, extended, capsys, path, damage):
    run = tmp_path / "run"
    assert check_never_trained_on(finished, run, extended, capsys, Path(path), FEW[damage])


@pytest.mark.slow
@pytest.mark.parametrize("damage", ALL)
def test_no_damage_to_any_file_is_trained_on(tmp_path, finished, extended, capsys, damage):
    for path in files(finished):
        check_never_trained_on(finished, tmp_path / "run", extended, capsys, path, ALL[damage])


def test_old_checkpoints_go_after_the_next_commit_and_are_not_missed(tmp_path, status):
    changed = {"loop__keep_checkpoints": 1, "trainer__max_epochs": 3}
    cli.run_fit(words(tmp_path, **changed))
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["last.ckpt", "round-0002.ckpt"]
    assert status(pool.verify, tmp_path)[0] == 0
    gone, left = (tmp_path / "pool" / r / "shard-00000.npy" for r in ("0001", "0002"))
    gone.unlink(), left.unlink()
    code, out = status(pool.repair, tmp_path)
    assert code == 1 and left.exists() and not gone.exists()
    assert f"{gone}: is gone: its samples cannot be made again: round-0001.ckpt is gone" in out
    # Keeping all again brings none back, and misses none.
    cli.run_fit(words(tmp_path / "b", **{**changed, "loop__keep_checkpoints": 2}))
    cli.run_fit(words(tmp_path / "b", trainer__max_epochs=4))
    assert not (tmp_path / "b" / "checkpoints" / "round-0000.ckpt").exists()
    assert status(pool.verify, tmp_path / "b")[0] == 0


def test_the_way_back_that_is_told_leads_to_the_same_rounds(tmp_path, finished, extended, status):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "pool" / "0000" / "manifest.json").unlink()
    out = status(pool.repair, run)[1]
    back = run / "checkpoints" / "round-0000.ckpt"
    assert f"remove the folders from pool/0000 on and go on with ckpt_path = {back}" in out
    for r in ("0000", "0001"):
        shutil.rmtree(run / "pool" / r)
    cli.run_fit(words(run, trainer__max_epochs=3, ckpt_path=back))
    assert_same(outcome(run), extended)


def test_samples_of_another_machine_are_left_as_they_are(tmp_path, finished, status, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    path = run / "pool" / "0001" / "shard-00000.npy"
    FEW["flip"](path)
    damaged, sample = path.read_bytes(), RoundSampler.sample
    monkeypatch.setattr(RoundSampler, "sample", lambda *args: sample(*args) + 1e-6)
    code, out = status(pool.repair, run)
    assert code == 1 and path.read_bytes() == damaged
    assert "is not what was recorded, as on another kind of machine" in out


def test_a_folder_of_no_run(tmp_path, status):
    for command in (pool._main_verify, pool._main_repair):
        code, out = status(command, [str(tmp_path)])
        said = f"error: run = {tmp_path}: holds no run; name the folder of one\n"
        assert (code, out) == (2, said)


@pytest.fixture(scope="module")
def uncommitted(tmp_path_factory, finished) -> Path:
    """A run as it is just before its last round is committed."""
    run = tmp_path_factory.mktemp("uncommitted") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(round_end, "_commit", crash)
        shutil.copytree(finished, run)
        shutil.rmtree(run / "pool" / "0001")
        with pytest.raises(CrashError):
            cli.run_fit(words(run))
    return run


@pytest.mark.parametrize(
    ("name", "damage", "left"),
    [
        ("shard-00001.npy", cut(0.01), 1),
        ("shard-00001.npy", cut(0), 1),
        ("shard-00000.npy", Path.unlink, 1),
        ("shard-00001.json", flip(0.5), 1),
        ("shard-00000.json", cut(0.5), 1),
        ("shard-00000.json", Path.unlink, 1),
        ("preview.png", Path.unlink, 2),
    ],
)
def test_before_the_commit_what_is_whole_is_kept_and_the_rest_made_again(
    finished, uncommitted, tmp_path, name, damage, left
):
    shutil.copytree(uncommitted, tmp_path / "run")
    shards = sorted((tmp_path / "run" / "pool" / "0001").glob("*.npy"))
    damage(tmp_path / "run" / "pool" / "0001" / name)
    before = {path.stat().st_ino for path in shards if path.exists()}
    cli.run_fit(words(tmp_path / "run"))
    assert len(shards) == 2 and len(before & {path.stat().st_ino for path in shards}) == left
    assert_same(outcome(tmp_path / "run"), outcome(finished))


@pytest.mark.parametrize("name", ["shard-00000.npy", "shard-00001.npy"])
def test_what_was_changed_before_the_commit_is_never_committed(
    uncommitted, finished, tmp_path, status, name
):
    run = tmp_path / "run"
    shutil.copytree(uncommitted, run)
    flip(0.9)(run / "pool" / "0001" / name)
    code, said = status(cli.run_fit, words(run))
    assert code == 2
    assert f"error: {run / 'pool' / '0001' / name}: is damaged; remove it, and" in said
    (run / "pool" / "0001" / name).unlink()  # as told
    cli.run_fit(words(run))
    assert_same(outcome(run), outcome(finished))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_damaged_note_is_named_by_whichever_process_reads_it(
    finished, uncommitted, tmp_path, monkeypatch, status, rank
):
    shutil.copytree(uncommitted, tmp_path / "run")
    folder = tmp_path / "run" / "pool" / "0001"
    note = folder / "micro_batch"
    note.write_text("xx")
    for room in (assemble, running):
        monkeypatch.setattr(room, "is_first", lambda: rank == 0)
    monkeypatch.setattr(assemble, "end_with_parent", lambda: None)
    code, said = status(cli.run_fit, words(tmp_path / "run"))
    assert (code, said.count("error: ")) == (2, 1)
    assert f"error: {note}: is damaged; remove its folder, and the samples are made again" in said
    shutil.rmtree(folder)  # as told
    cli.run_fit(words(tmp_path / "run"))
    assert_same(outcome(tmp_path / "run"), outcome(finished))


def test_a_shard_that_is_gone_is_named_with_what_to_do(finished, tmp_path, status):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    shard = run / "pool" / "0001" / "shard-00000.npy"
    shard.unlink()
    code, said = status(cli.run_fit, words(run, trainer__max_epochs=3))
    assert code == 2
    assert f"error: {shard}: is gone; see `lightning-collapse pool verify`" in said
