"""`reproduce`: claims named, listed, run once, and told of wrong names in one line."""

import json
import re

import pytest

from lightning_collapse.commands.reproduce import _run_plan
from lightning_collapse.papers.running import chosen, claim_of

QUICK = "suresh-zipf"


def test_the_list_has_a_line_a_claim_and_runs_none(cli, tmp_path):
    code, out, err = cli("reproduce", "--list", "-o", str(tmp_path / "out"))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == chosen([])
    for line in lines:
        claim = claim_of(line.split()[0])
        assert claim.authors in line and claim.source in line and claim.data in line
        assert line.rstrip().endswith((" s", " min", " h"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong, hint",
    [
        ("dohmatob", "did you mean dohmatob-floor or dohmatob-network or dohmatob-size?"),
        ("shumailow", "did you mean shumailov?"),
        ("0000", "see --list"),
    ],
)
def test_an_unknown_claim_is_told_in_a_line_with_near_ones(cli, tmp_path, wrong, hint):
    code, out, err = cli("reproduce", wrong, "-o", str(tmp_path / "out"))
    assert (code, out) == (2, "")
    assert err == f"error: names = {wrong}: no such claim; {hint}\n"
    assert not (tmp_path / "out").exists()


def test_a_finished_claim_is_not_run_again(cli, tmp_path):
    code, out, err = cli("reproduce", QUICK, "--quick", "-o", str(tmp_path))
    assert code == 0, err
    assert QUICK in out and "done before" not in out
    verdicts = (tmp_path / "verdicts.json").read_text()
    told = json.loads(verdicts)["claims"][QUICK]
    assert told["verdict"] in ("holds", "cannot be told")
    assert told["provenance"] and told["findings"][0]["interval"]
    assert (tmp_path / f"{QUICK}.png").stat().st_size > 1000
    before = told | {"says": "what was run here before"}
    (tmp_path / "verdicts.json").write_text(
        json.dumps({"claims": {"he-weights": before, QUICK: told}})
    )
    code, out, err = cli("reproduce", QUICK, "--quick", "-o", str(tmp_path))
    page = (tmp_path / "claims.md").read_text()
    assert QUICK in page and "what was run here before" in page
    assert f"Made by `lightning-collapse reproduce {QUICK} he-weights`." in page
    (tmp_path / "verdicts.json").write_text(verdicts)
    code, out, err = cli("reproduce", QUICK, "--quick", "-o", str(tmp_path))
    assert code == 0 and "done before" in out
    assert (tmp_path / "verdicts.json").read_text() == verdicts
    # More effort than is asked for will do, less will not.
    for effort, is_done in (("2.0", True), ("0.01", False)):
        other = re.sub(r'"effort": [0-9.]+', f'"effort": {effort}', verdicts)
        (tmp_path / "verdicts.json").write_text(other)
        code, out, err = cli("reproduce", QUICK, "--quick", "-o", str(tmp_path))
        assert code == 0 and ("done before" in out) is is_done
    # Of other code, it is another result.
    (tmp_path / "verdicts.json").write_text(verdicts.replace('"code": "', '"code": "0'))
    code, out, err = cli("reproduce", QUICK, "--quick", "-o", str(tmp_path))
    assert code == 0 and "done before" not in out


def test_a_file_of_another_kind_is_refused_in_a_line(cli, tmp_path):
    (tmp_path / "verdicts.json").write_text("[]")
    code, out, err = cli("reproduce", QUICK, "-o", str(tmp_path))
    assert code == 2 and err.count("\n") == 1 and "verdicts.json is not what" in err


def test_a_claims_plan_is_run_by_sweep_below_the_results(tmp_path):
    plan = tmp_path / "tiny.yaml"
    text = (
        "name: tiny\ntoy: gaussian\nset: {n: 10, rounds: 2, replicas: 2}\ngrid: {seed: [0, 1]}\n"
    )
    plan.write_text(text)
    study = _run_plan(plan, tmp_path / "out")
    assert study.folder == tmp_path / "out" / "sweeps" / "tiny"
    assert [run.is_done for run in study.runs] == [True, True]


def test_a_claims_plan_that_is_not_there_is_told_in_a_line(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("reproduce", "shi-entropy", "-o", "out")
    assert (code, out) == (2, "")
    assert err == "error: plan = plans/claim_entropy_digits.yaml: no such file\n"
