import numpy as np
import pytest
from PIL import Image

from lightning_collapse.toys.conditions import condition, conditions
from lightning_collapse.toys.figures import (
    draw_band,
    draw_replicas,
    label_lines,
    new_figure,
    ramp_of,
    save_figure,
    style,
)
from lightning_collapse.toys.gaussian import simulate
from lightning_collapse.toys.gaussian_figure import _finish_variance
from lightning_collapse.toys.gaussian_fits import Truth
from lightning_collapse.toys.gaussian_summary import summarise
from lightning_collapse.toys.gmm import Protocol, run_mixtures
from lightning_collapse.toys.gmm_figures import _scatter
from lightning_collapse.toys.strong_collapse_figure import _draw_diagonal


def test_axes_hold_every_line_and_band():
    axes = new_figure(4, 3).subplots()
    low, high = np.ones((5, 4)), np.linspace(1, 50, 20).reshape(5, 4)
    draw_replicas(axes, {"low": low, "high": high})
    bottom, top = axes.get_ylim()
    assert bottom == 0
    assert top > np.quantile(high, 0.95, 0).max()
    left, right = axes.get_xlim()
    assert left <= 0
    assert right >= 3


def test_lines_are_told_apart_with_and_without_colour():
    looks = [style(i) for i in range(35)]
    assert len({(look["color"], look["marker"]) for look in looks}) == 35
    assert len({look["marker"] for look in looks[:6]}) == 6


def test_no_label_of_panels_of_a_fixed_aspect_is_cut_off(tmp_path):
    protocol = Protocol(2, replicas=1)
    wanted = conditions("Replace", "0.1,0.3,0.5,0.9,1.0", 300, 2)
    figure = _scatter([run_mixtures(condition, protocol) for condition in wanted], protocol)
    save_figure(figure, tmp_path, "panels")
    with Image.open(tmp_path / "panels.png") as picture:
        pixels = np.asarray(picture.convert("L"))
    for edge in (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:]):
        assert edge.min() == 255


def test_one_number_of_rows_has_its_theory_and_the_diagonal():
    axes = new_figure(4, 3).subplots()
    simulated = {"lambda": 0.5, "real_error_mean": [0.7], "error_mean": [0.8]}
    _draw_diagonal(axes, [simulated | {"theory": simulated}])
    _, theory, diagonal = axes.lines
    assert theory.get_marker() == "_"
    assert diagonal.get_xdata()[0] < 0.7 < diagonal.get_xdata()[1]


@pytest.mark.parametrize(("n", "has_band"), [(10, False), (100, True)])
def test_the_legend_names_no_band_where_theory_has_none(n, has_band):
    axes, truth, setting = new_figure(4, 3).subplots(), Truth(), condition("Replace", 0.5, n, 2)
    course = simulate(setting, 2, 3, truth=truth, seed=0)
    _finish_variance(axes, [summarise(setting, course, truth)], truth)
    assert ("theory, 5 and 95 %" in axes.get_legend_handles_labels()[1]) == has_band


def test_many_shares_are_told_at_their_ends_in_rising_colours_without_overlap():
    axes = new_figure(5, 4).subplots()
    shares = [0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
    n = ramp_of(shares)
    assert n == 6 and ramp_of(shares[:3]) == ramp_of([None] * n) == 0
    for i, share in enumerate(shares):
        y = [1.0, 1 + 1e-3 * i]
        draw_band(axes, [0, 1], y, y, y, i=i, label=f"λ = {share}", ramp=n)
    axes.axhline(1.0, label="truth")
    label_lines(axes, "mean", n)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["truth"]
    assert len({text.get_color() for text in axes.texts}) == n
    heights = sorted(text.xyann[1] for text in axes.texts)
    assert min(np.diff(heights)) > 0.05 and heights[-1] <= 1
    assert min(text.xyann[0] for text in axes.texts) > 1
