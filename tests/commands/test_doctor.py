"""What `doctor` finds, and its exit status, where one thing after another is missing."""

import time

import pytest

from lightning_collapse.commands import doctor

_TORCH = "print('device cuda:0 H100, 80 GiB'); print('hub /cache'); print('missing none found')"


@pytest.fixture
def examine(cli, monkeypatch, tmp_path):
    """Runs `doctor` with a torch that answers at once; gives its status and its lines by topic."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bin").mkdir()
    (tmp_path / "netrc").touch()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr(doctor, "_ASK_TORCH", _TORCH)
    monkeypatch.chdir(tmp_path)

    def run():
        status, out, err = cli("doctor")
        assert err == ""
        lines = [line.split(None, 2) for line in out.splitlines()]
        return status, {about: (level, text) for level, about, text in lines}

    return run


def test_a_sound_machine_without_a_cluster_is_sound(examine, tmp_path):
    status, found = examine()
    assert status == 0
    levels = {about: level for about, (level, _) in found.items()}
    sound = ("versions", "locks", "fsync", "space", "W&B", "devices")
    assert all(levels[about] == "ok" for about in sound)
    assert all(levels[about] == "note" for about in ("data", "SLURM", "HTCondor", "features"))
    assert found["devices"][1].startswith("cuda:0 H100, 80 GiB; cpu, ")
    assert not list(tmp_path.glob(".doctor*"))


@pytest.mark.parametrize(
    ("where", "what", "about", "text"),
    [
        ("requires", lambda name: ["torch>=999"], "versions", "torch>=999 (2."),
        ("requires", lambda name: ["no-such-package"], "versions", "(not installed)"),
        ("fcntl.flock", lambda file, how: None, "locks", "do not keep out a second process"),
        ("os.fsync", lambda file: _raise(), "disk", "cannot be written"),
        ("_LEAST_SPACE", 2**80, "space", "GiB free"),
        ("_ASK_TORCH", "raise ImportError('no libcuda')", "devices", "ImportError: no libcuda"),
    ],
)
def test_what_a_run_cannot_do_without_fails(examine, monkeypatch, where, what, about, text):
    monkeypatch.setattr(f"lightning_collapse.commands.doctor.{where}", what)
    status, found = examine()
    assert status == 1
    assert [topic for topic, (level, _) in found.items() if level == "FAIL"] == [about]
    assert text in found[about][1]


def _raise():
    raise OSError(5, "Input/output error")


def test_a_driver_that_hangs_is_not_waited_for(examine, monkeypatch):
    monkeypatch.setattr(doctor, "_TORCH", 0.5)
    monkeypatch.setattr(doctor, "_ASK_TORCH", "import time; time.sleep(60)")
    start = time.monotonic()
    status, found = examine()
    assert status == 0 and time.monotonic() - start < 5
    assert found["devices"][0] == "note" and "did not answer" in found["devices"][1]


@pytest.mark.parametrize(
    ("answer", "level", "text"),
    [
        ("echo 'gpu* 4 nodes idle'", "ok", "answers: gpu* 4 nodes idle"),
        ("echo down >&2; exit 1", "note", "does not answer (down"),
        ("exec sleep 60", "note", "timed out after 0.5 seconds"),
    ],
)
def test_a_cluster_is_asked(examine, monkeypatch, tmp_path, answer, level, text):
    monkeypatch.setattr(doctor, "_CLUSTER", 0.5)
    for name, does in (("sbatch", "exit 1"), ("sinfo", answer)):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    found = examine()[1]["SLURM"]
    assert found[0] == level and text in found[1]


def test_w_and_b_s_key_is_looked_for_only_where_it_is_needed(examine, monkeypatch, tmp_path):
    assert examine()[1]["W&B"][0] == "ok"
    monkeypatch.setenv("WANDB_MODE", "online")
    assert examine()[1]["W&B"] == ("note", "online; no key: `wandb login` keeps one")
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password made-up\n")
    (tmp_path / "netrc").chmod(0o600)
    assert examine()[1]["W&B"] == ("ok", f"online; a key is in {tmp_path / 'netrc'}")


def test_what_configurations_name_is_looked_for(examine, tmp_path):
    (tmp_path / "configs").mkdir()
    config = "data: {source: {class_path: Prepared, init_args: {path: nowhere}}}\n"
    (tmp_path / "configs" / "mine.yaml").write_text(config)
    (tmp_path / "configs" / "other.yaml").write_text("[]")
    level, text = examine()[1]["data"]
    assert level == "note" and text.startswith("configs/mine.yaml: data.source = nowhere:")
    (tmp_path / "nowhere").mkdir()
    assert "data" not in examine()[1]
    config = "data: {source: {class_path: CIFAR10, init_args: {root: elsewhere, download: %s}}}\n"
    (tmp_path / "configs" / "mine.yaml").write_text(config % "false")
    level, text = examine()[1]["data"]
    assert level == "note" and "data.source.root = elsewhere: is not there; set data.s" in text
    (tmp_path / "configs" / "mine.yaml").write_text(config % "true")
    assert "data" not in examine()[1]


def test_what_torch_is_asked_can_be_answered(capsys):
    exec(doctor._ASK_TORCH)
    told = capsys.readouterr().out
    assert "\nhub " in f"\n{told}" and ("\nweights " in told or "\nmissing " in told)
