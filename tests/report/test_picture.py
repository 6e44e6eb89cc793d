"""One picture of several runs."""

import re
import shutil
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from PIL import Image
from records import CONTROL, write_run
from studies import add_rows, columns, write_study

from lightning_collapse.analysis.conditions import find_runs
from lightning_collapse.report.comparison import compare, course
from lightning_collapse.report.looks import looks_of, looks_of_families
from lightning_collapse.report.picture import draw_picture
from lightning_collapse.report.strips import read_strips


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_several_runs_are_one_picture_and_a_closing_line(cli, study, tmp_path, suffix):
    out = tmp_path / f"all.{suffix}"
    status, said, errors = cli("plot", *sorted(study.iterdir()), "-o", out)
    assert (status, errors) == (0, "")
    assert said.splitlines()[-1] == "Accumulate and Replace collapse."
    assert f"picture: {out}" in said
    assert out.read_bytes().startswith({"png": b"\x89PNG", "pdf": b"%PDF"}[suffix])
    again = tmp_path / f"again.{suffix}"
    cli("plot", study, "-o", again)
    assert again.read_bytes() == out.read_bytes()


def test_runs_of_one_seed_are_told_to_be_too_few(cli, study, tmp_path):
    one = [path for path in sorted(study.iterdir()) if path.name.endswith("-0")]
    status, said, _ = cli("plot", *one, "-o", tmp_path / "few.png")
    assert status == 0
    assert "run at least 3 seeds" in said
    assert said.splitlines()[-1] == "Of Accumulate and Replace it cannot be told yet."


def test_what_cannot_be_compared_is_refused_in_one_line(cli, study, tmp_path):
    points = write_run(tmp_path / "points", columns(1.0, 0, "fd_points"), fd_points_floor=0.1)
    status, out, errors = cli("plot", study, points, "-o", tmp_path / "x.png")
    assert (status, out) == (2, "") and errors.count("\n") == 1
    assert "cannot stand in one picture" in errors and not (tmp_path / "x.png").exists()
    assert cli("plot", study, "-o", tmp_path / "x.gif")[2].startswith("error: out = ")


def test_long_names_are_below_the_panels_and_counted_above(study):
    one = compare(find_runs([study]))[0]
    long = [replace(each, label=f"{each.label}, {'option = 0.123, ' * 7}") for each in one.judged]
    one = replace(one, judged=3 * long, controls=16 * one.controls)
    figure = draw_picture(one, replace(read_strips(one, 0), strips=[])).figure
    (part,) = figure.subfigs
    (legend,) = part.legends
    renderer = FigureCanvasAgg(figure).get_renderer()
    top = legend.get_window_extent(renderer).y1
    assert all(axes.get_tightbbox(renderer).y0 > top for axes in part.axes)
    assert figure.get_suptitle() == "6 conditions collapse."


def test_an_svg_is_small_and_whole(cli, study, tmp_path):
    cli("plot", study, "-o", tmp_path / "all.svg")
    text = (tmp_path / "all.svg").read_text()
    root = ElementTree.fromstring(text)
    ids = [one.get("id") for one in root.iter() if one.get("id")]
    made = {name for name in ids if not name.startswith("series:")}
    meant = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', text)
    assert {a or b for a, b in meant} <= made
    assert not any(re.fullmatch("[mp][0-9a-f]{10}", name) for name in made)
    assert "sans-serif" in root.get("style") and text.count("font-family") == 1
    assert "rotate(-0" not in text and "text-anchor: middle" in text


def test_strips_are_the_rows_themselves(study):
    one = compare(find_runs([study]))[0]
    strips = read_strips(one, 2)
    assert [(each.of.label if each.of else "real", each.round) for each in strips.strips] == [
        ("real", 0), ("Accumulate", 0), ("Accumulate", 3), ("Replace", 0), ("Replace", 3),
        ("control", 0), ("control", 3),
    ]  # fmt: skip
    run = strips.strips[4].of.condition.runs[strips.replica]
    picture = strips.strips[4].picture
    rows = run.samples(3)[torch.arange(20)].numpy()
    assert picture.shape == (8, 20 * 9 - 1, 3)
    assert all((picture[:, 9 * i : 9 * i + 8, 1] == rows[i, 0]).all() for i in range(20))


def test_large_images_are_shrunk_by_whole_pixels(tmp_path):
    add_rows(write_run(tmp_path / "run", columns(1.0, 0)), shape=(3, 64, 64))
    strips = read_strips(compare(find_runs([tmp_path]))[0], 2)
    assert strips.strips[1].picture.shape[0] == 32
    assert not strips.small


def test_the_band_is_of_the_seeds(study):
    one = compare(find_runs([study]))[0]
    replace = next(each for each in one.judged if each.label == "Replace")
    told = course(replace.condition, "fd_pixels")
    runs = np.array([[columns(2.0, s)["fd_pixels"] for s in range(3)]])[0]
    assert told.mean == pytest.approx(runs.mean(0))
    assert told.low == pytest.approx(runs.min(0)) and told.high == pytest.approx(runs.max(0))


def _contrast(colour, back):
    def light(rgb):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(rgb)]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    bright, dim = sorted([light(colour), light(back)], reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("ramped", [False, True])
def test_every_look_can_be_seen_on_white_and_dark_and_told_in_grey(ramped):
    looks = looks_of(8, ramped)
    assert all(_contrast(one.light, "#ffffff") >= 3 for one in looks)
    assert all(_contrast(one.dark, "#14161a") >= 3 for one in looks)
    assert len({(str(one.dash), one.marker) for one in looks}) == 8


def test_families_of_a_grid_are_told_by_dash_and_their_members_by_colour_and_marker():
    looks = looks_of_families([5, 4])
    assert len({str(one.dash) for one in looks[:5]}) == 1
    assert looks[0].dash != looks[5].dash
    assert len({one.light for one in looks[:5]}) == len({one.marker for one in looks[:5]}) == 5
    assert [one.key for one in looks] == [f"c{i}" for i in range(9)]


def test_a_grid_of_regimes_has_a_line_of_panels_for_each_on_common_axes(tmp_path):
    options = {"Replace": "synthetic_fraction", "Augment": "ratio"}
    for k, (regime, option) in enumerate(options.items()):
        for i in range(5):
            own = {"regime": regime, "regime_options": {option: 0.1 * (i + 1)}}
            write_run(tmp_path / f"{regime}-{i}", columns(1.0 + 9 * k, 0), 0, **own)
    one = compare(find_runs([tmp_path]))[0]
    assert one.is_crowd and list(map(len, one.families.values())) == [5, 5]
    figure = draw_picture(one, read_strips(one, 2)).figure
    panels = [axes for axes in figure.axes if axes.lines]
    assert len(panels) == 2 * 3
    highest = max(max(columns(10.0, 0)["fd_pixels"]), max(columns(1.0, 0)["fd_pixels"]))
    assert all(axes.get_ylim()[1] >= highest for axes in panels[::3])
    assert all(axes.get_ylim()[0] == 0 for axes in panels[::3])


def test_many_of_one_regime_stand_in_lines_beside_their_own_controls_on_an_axis_that_holds_all(
    tmp_path,
):
    for steps in range(1, 10):
        # One of them is a hundred times as far away as the others.
        slope = 1000.0 if steps == 9 else 1.0
        for kind, far, changed in (("run", slope, {}), ("control", 0.0, CONTROL)):
            run = write_run(tmp_path / f"{kind}-{steps}", columns(far, 0), 0, **changed)
            run.config.write({"model": {"lr": 1}, "loop": {"sampling": {"num_steps": steps}}})
    one = compare(find_runs([tmp_path]))[0]
    panels = [axes for axes in draw_picture(one, read_strips(one, 2)).figure.axes if axes.lines]
    assert len(panels) == 3 * 3
    for i, axes in enumerate(panels[::3]):
        names = [line.get_label() for line in axes.lines]
        wanted = [f"num_steps = {steps}" for steps in range(3 * i + 1, 3 * i + 4)]
        assert [name for name in names if name.startswith("Replace")] == [
            f"Replace, {each}" for each in wanted
        ]
        assert [name for name in names if name.startswith("control")] == [
            f"control, {each}" for each in wanted
        ]
        assert axes.get_yscale() == "log"
    assert {axes.get_yscale() for axes in panels[2::3]} == {"linear"}


def test_a_regime_inside_another_is_told_by_name_and_options(tmp_path):
    for share in (0.0, 0.5):
        then = {"class_path": "x.rules.Replace", "init_args": {"synthetic_fraction": share}}
        own = {"regime": "Then", "regime_options": {"first": "Replace", "at": 4, "then": then}}
        write_run(tmp_path / f"{share}", columns(1.0, 0), 0, **own)
    labels = [each.label for each in compare(find_runs([tmp_path]))[0].judged]
    assert labels == ["Then, then = Replace(λ = 0)", "Then, then = Replace(λ = 0.5)"]


def test_a_single_run_still_has_its_table(cli, study):
    run = study / "replace-0"
    status, out, _ = cli("plot", run)
    assert status == 0 and out.splitlines()[-1] == f"picture: {run / 'collapse.png'}"
    with Image.open(run / "collapse.png") as picture:
        assert picture.width > 1500
    shutil.rmtree(run / "pool")
    assert cli("plot", run)[0] == 0
