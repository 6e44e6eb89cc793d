"""The page: whole, valid and true to the records, by a parser that knows nothing of it."""

import base64
import csv
import io
import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from records import CONTROL, write_run
from studies import ROUNDS, add_rows, columns, write_study

from lightning_collapse.analysis.conditions import conditions, controls_among, find_runs
from lightning_collapse.analysis.meanings import headline
from lightning_collapse.report.comparison import compare
from lightning_collapse.report.page import SECTIONS, page

VOID = {"meta", "img", "input", "br", "link"}


class Page(HTMLParser):
    """Ids, headings and links of a page; fails on an element that is closed where it is not."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.used, self.links, self.open, self.json = [], [], [], [], []
        self.text, self.titles = "", []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.ids += [told["id"]] if "id" in told else []
        self.links += [told[name] for name in ("src", "href", "xlink:href") if name in told]
        self.used += re.findall(r"url\(#([^)]+)\)", " ".join(v or "" for v in told.values()))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["script"] and data.startswith("{"):
            self.json.append(json.loads(data))
        if self.open[-1:] == ["h2"]:
            self.titles.append(data)
        if not {"script", "style"} & set(self.open):
            self.text += data


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"))


def made(*folders, title="a study"):
    return page(compare(find_runs(folders)), title)


@pytest.fixture(scope="module")
def text(study):
    return made(study)


def test_the_page_is_whole_and_asks_for_nothing(text):
    told = Page(text)
    assert len(told.ids) == len(set(told.ids))
    assert told.used and set(told.used) <= set(told.ids)
    inside = {link[1:] for link in told.links if link.startswith("#")}
    assert inside <= set(told.ids)
    assert all(link.startswith(("#", "data:")) for link in told.links)
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"|http-equiv', "", text)
    assert len(text.encode()) < 500_000


def test_its_sections_are_in_order(text):
    assert Page(text).titles == list(SECTIONS.values())


def test_equal_runs_give_equal_bytes(study, text, tmp_path):
    copied = tmp_path / "elsewhere" / "study"
    shutil.copytree(study, copied)
    assert made(copied) == text.replace(str(study), str(copied))


def test_the_verdict_is_the_one_of_the_analysis(study, text):
    told = conditions(find_runs([study]))
    (control,) = controls_among(told)
    for one in told:
        if one is not control:
            verdict = headline(one, control)
            assert verdict.word == "collapses"
            assert f"{verdict.word}, {verdict.trend}: {verdict.excess}" in Page(text).text
    assert "Accumulate and Replace collapse." in Page(text).text
    assert "Nothing is missing." in Page(text).text


def test_numbers_are_the_records(study, text):
    data = re.search(r'href="data:text/csv;base64,([^"]+)"', text)[1]
    lines = list(csv.DictReader(io.StringIO(base64.b64decode(data).decode())))
    read = {run.path.name: run.records for run in find_runs([study])}
    assert len(lines) == sum(map(len, read.values()))
    for line in lines:
        record = read[line["run"]][int(line["round"])]
        for name in ("fd_pixels", "fd_pixels_floor", "val_loss", "recall_pixels"):
            assert float(line[name]) == record[name]
    # What the pointer shows: the mean over seeds.
    (shown,) = [one for one in Page(text).json if one.get("floor") == 0.4]
    mean = sum(read[f"replace-{s}"][3]["fd_pixels"] for s in range(3)) / 3
    assert any(three[3][0] == pytest.approx(mean, rel=1e-4) for three in shown["series"].values())


def test_completions_stand_beside_noise_in_their_place(tmp_path):
    told = {"masked_mse": [0.3] * ROUNDS, "masked_mse_masked_noise": [0.5] * ROUNDS}
    write_run(tmp_path / "run", columns(1.0, 0) | told)
    (shown,) = [one for one in Page(made(tmp_path)).json if one.get("floor") == 0.5]
    assert shown["of"] == "noise in that place"
    assert [three[0] for three in next(iter(shown["series"].values()))] == [0.3] * ROUNDS


def test_what_is_missing_is_named(tmp_path):
    text = Page(made(write_study(tmp_path / "a", seeds=(0,), control=False))).text
    assert "it cannot be told yet" in text and "no control: retraining alone" in text
    run = write_run(tmp_path / "b" / "run", columns(1.0, 0))
    run.config.write({"trainer": {"max_epochs": 9}})
    text = Page(made(tmp_path / "b")).text
    assert f"still going, or stopped: run ({ROUNDS} of 9 rounds)" in text
    assert "no sample rows here" in text


def test_runs_that_cannot_be_compared_have_sections_of_their_own(tmp_path):
    for name, changed in [
        ("n", {"n_train": 500}),
        ("v", {"versions": {"lightning_collapse": "9"}}),
    ]:
        write_study(tmp_path / name, seeds=(0,), **changed)
    points = write_run(tmp_path / "points", columns(1.0, 0, "fd_points"), fd_points_floor=0.1)
    add_rows(points, shape=(2,))
    write_study(tmp_path / "plain", seeds=(0,))
    told = Page(made(tmp_path))
    assert len(told.ids) == len(set(told.ids))
    verdicts = [one for one in told.ids if re.fullmatch(r"g\d-verdict", one)]
    assert len(verdicts) == 4
    assert "no curve goes across" in told.text


def test_collapsed_and_lost_rounds_are_told(tmp_path):
    changed = columns(1.0, 0) | {
        "fd_pixels": [0.5, 0.7, 0.9, None],
        "mean": [0.0, None, 0.0, 1.0],
        "collapsed": [None, None, None, "constant"],
        "steps_skipped": [0, 2, 0, 1],
        "weights_moved": [1, 1, 1, 0.0],
    }
    add_rows(write_run(tmp_path / "run", changed))
    told = Page(made(tmp_path))
    for said in (
        "collapsed in round 3 (constant)",
        "3 training steps were skipped",
        "frozen average: the weights did not move in round 3",
    ):
        assert said in told.text
    assert told.json[0]["series"]["c0"][3] == [None, None, None]


def test_names_from_elsewhere_are_only_text(tmp_path):
    hostile = "<script>alert(1)</script>$x_y$"
    write_run(tmp_path / "run", columns(1.0, 0), regime=hostile)
    text = made(tmp_path, title=hostile)
    assert "<script>alert" not in text
    Page(text)


def test_kept_records_are_enough(study, text, tmp_path):
    for run in find_runs([study]):
        (tmp_path / run.path.name).mkdir()
        shutil.copy(run.table, tmp_path / run.path.name)
    kept = Page(made(tmp_path)).text
    assert "There are no sample rows here." in kept
    rule = kept.index("Rule, on")
    assert kept[:rule] == Page(text).text[:rule]


@pytest.mark.slow
def test_a_hundred_runs_stay_below_two_megabytes(tmp_path):
    for i in range(33):
        for seed in range(3):
            write_run(
                tmp_path / f"r{i}-{seed}",
                columns(i / 10, seed),
                seed,
                regime_options={"synthetic_fraction": (i + 1) / 33},
            )
    text = made(tmp_path)
    assert len(text.encode()) < 2_000_000
    assert "33 conditions" in Page(text).text


def test_the_command_writes_page_figures_and_log(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = write_study(tmp_path / "study", only=("fd_pixels", "collapsed"), rows=False)
    words = ("report", study, "-o", "page.html", "--figures", "figures", "--log", "log.md")
    status, out, errors = cli(*words)
    assert (status, errors) == (0, "") and "Accumulate and Replace collapse." in out
    names = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert {"fd_pixels", "picture"} <= names
    for suffix in ("png", "svg", "pdf"):
        assert (tmp_path / "figures" / f"fd_pixels.{suffix}").stat().st_size > 2000
    log = (tmp_path / "log.md").read_text()
    assert log.count("\n## ") == 9
    assert cli(*words)[0] == 0
    assert (tmp_path / "log.md").read_text() == log


@pytest.mark.parametrize("name", ["none", "empty"])
def test_a_folder_without_records_is_one_line(cli, tmp_path, name):
    (tmp_path / "empty").mkdir()
    status, out, errors = cli("report", tmp_path / name)
    assert (status, out) == (2, "") and errors.count("\n") == 1
    assert errors.startswith(f"error: runs = {tmp_path / name}: ")


def test_each_condition_stands_beside_the_control_that_differs_by_the_regime_alone(tmp_path):
    for steps in (8, 18):
        for kind, changed in (("run", {}), ("control", CONTROL)):
            run = write_run(tmp_path / f"{kind}-{steps}", columns(1.0, 0), **changed)
            run.config.write({"loop": {"sampling": {"num_steps": steps, "solver": "heun"}}})
    (one,) = compare(find_runs([tmp_path]))
    assert [each.label for each in one.judged] == [
        "Replace, num_steps = 8", "Replace, num_steps = 18"
    ]  # fmt: skip
    for each in one.judged:
        steps = each.condition.settings["loop.sampling.num_steps"]
        assert each.control.settings["loop.sampling.num_steps"] == steps


def test_verdicts_on_claims_are_a_section(cli, study, tmp_path):
    found = {"what": "drift <&>", "theirs": "below 0", "ours": -2.0, "interval": [-2.5, None]}
    found |= {"replicas": 24, "verdict": "holds", "replicas_needed": 0}
    told = dict.fromkeys(("says", "authors", "source", "data", "setting", "figure"), "a word")
    told |= {"provenance": "derived", "verdict": "holds", "why": "", "findings": [found]}
    papers = tmp_path / "papers"
    papers.mkdir()
    line = ("report", str(study), "-o", str(tmp_path / "page.html"), "--claims", str(papers))
    code, _, err = cli(*line)
    assert code == 2 and err.startswith(f"error: claims = {papers}: holds no verdicts.json; `")
    (papers / "verdicts.json").write_text(json.dumps({"claims": {"one-claim": told}}))
    code, _, err = cli(*line)
    assert code == 0, err
    text = Page((tmp_path / "page.html").read_text()).text
    assert "Published claims" in text and "drift <&>" in text and "-2 [-2.5, –]" in text
    (papers / "verdicts.json").write_text(json.dumps({"claims": {"one-claim": {}}}))
    code, _, err = cli(*line)
    assert code == 2 and err.count("\n") == 1 and "verdicts.json" in err
