import numpy as np

from lightning_collapse.toys.figures import draw_replicas, new_figure, style


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
    looks = [style(i) for i in range(42)]
    assert len({(look["color"], look["marker"]) for look in looks}) == 42
    assert len({look["marker"] for look in looks[:6]}) == 6
