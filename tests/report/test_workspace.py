"""The workspace of W&B that `report --wandb` makes, laid out without a network."""

import json

import pytest
from studies import write_study

from lightning_collapse.analysis.conditions import find_runs
from lightning_collapse.lit.loggers.rounds import numbers_of
from lightning_collapse.report.comparison import compare
from lightning_collapse.report.workspace import workspace_of

workspaces = pytest.importorskip("wandb_workspaces.workspaces", reason="pip install it")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"), rows=False)


def laid_out(study):
    made = workspace_of(compare(find_runs([study])), "me", "loops", "digits")
    return json.loads(made._to_model().model_dump_json(by_alias=True))


def test_every_panel_shows_what_rounds_are_logged_with(study):
    view = laid_out(study)
    assert (view["entity"], view["project"], view["displayName"]) == ("me", "loops", "digits")
    sections = view["spec"]["section"]["panelBankConfig"]["sections"]
    shown = [panel["config"] for section in sections for panel in section["panels"]]
    metrics = [one["metrics"][0] for one in shown]
    record = find_runs([study])[0].records[0]
    assert set(metrics) <= set(numbers_of(record)) and len(set(metrics)) == len(metrics)
    wanted = {"fd_pixels", "mean", "total_variance", "recall_pixels", "val_loss"}
    assert {f"round/{name}" for name in wanted} <= set(metrics)
    assert {one["xAxis"] for one in shown} == {"round"}


def test_runs_are_grouped_by_regime_and_share(study):
    (runs,) = laid_out(study)["spec"]["section"]["runSets"]
    assert [key["name"] for key in runs["grouping"]] == [
        "data.value.regime.class_path",
        "data.value.regime.init_args.synthetic_fraction",
    ]


def test_what_is_missing_is_told_before_the_page_is_made(cli, study, tmp_path, monkeypatch):
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    out = tmp_path / "page.html"
    for name, said in {"me": "must be ENTITY/PROJECT", "me/loops": "`wandb login` keeps"}.items():
        status, _, errors = cli("report", study, "-o", out, "--wandb", name)
        assert status == 2 and errors.startswith(f"error: wandb = {name}: ") and said in errors
        assert errors.count("\n") == 1 and not out.exists()


def test_a_workspace_that_was_not_taken_costs_no_page(cli, study, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)

    def refused(self):
        raise RuntimeError("no such project\nand more")

    monkeypatch.setattr(workspaces.Workspace, "save", refused)
    out = tmp_path / "page.html"
    status, _, errors = cli("report", study, "-o", out, "--wandb", "me/loops")
    assert status != 0 and out.exists()
    assert errors == "error: wandb = me/loops: W&B took no workspace (no such project)\n"
