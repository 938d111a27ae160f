"""Drawings of curves: what is drawn is what was given, told apart and whole."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.report import Curve, curves_figure


def some(count, kind="method"):
    rng = np.random.default_rng(count)
    return [
        Curve(f"{kind} {i}", [1, 3, 5], v := rng.random(3), v - 0.1, v + 0.1, kind)
        for i in range(count)
    ]


def lines_of(axes):
    return [line for line in axes.lines if len(line.get_xdata())]


def test_lines_and_bands_are_the_values():
    curve = Curve("a", [1, 2, 5], [0.9, 0.8, 0.4], [0.7, 0.6, 0.3], [1.0, 0.9, 0.5])
    (axes,) = curves_figure({"P@K": [curve]}).axes
    (line,) = lines_of(axes)
    assert line.get_xdata().tolist() == [1, 2, 5]
    assert line.get_ydata().tolist() == [0.9, 0.8, 0.4]
    (band,) = axes.collections
    corners = {tuple(point) for point in band.get_paths()[0].vertices.round(9).tolist()}
    assert {(1.0, 0.7), (1.0, 1.0), (5.0, 0.3), (5.0, 0.5)} <= corners
    assert axes.get_ylim() == (0, 1)


def test_kinds_look_different_and_only_methods_have_bands():
    curves = [*some(1), *some(1, "baseline"), *some(1, "published")]
    (axes,) = curves_figure({"P@K": curves}).axes
    assert len(axes.collections) == 1
    looks = {(line.get_linestyle(), line.get_marker(), line.get_linewidth()) for line in axes.lines}
    assert len(looks) == 3


def test_a_label_looks_the_same_in_all_panels_and_stands_once_in_the_legend():
    curves = some(3)
    figure = curves_figure({"P@K": curves, "R@K": curves[::-1]}, title="Title")
    first, second = ([line.get_color() for line in lines_of(axes)] for axes in figure.axes)
    assert first == second[::-1]
    assert len(set(first)) == 3
    assert [text.get_text() for text in figure.texts] == ["Title", *[c.label for c in curves]]


@pytest.mark.parametrize("count", [1, 8, 40])
def test_nothing_is_cut_off(count):
    long = [Curve(f"{'very ' * 12}long name {i}", [1], [0.5]) for i in range(count)]
    figure = curves_figure({"P@K": long, "R@K": some(2)}, title="A title")
    figure.set_dpi(100)
    box = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    width, height = figure.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height
    marks = [text.get_window_extent() for text in figure.texts[1:]]
    assert all(a.y0 >= b.y1 - 1 for a, b in itertools.pairwise(marks))


def test_files(tmp_path):
    for name in ("curves.png", "curves.svg"):
        curves_figure({"P@K": some(2)}, path=tmp_path / "new" / name)
        assert (tmp_path / "new" / name).stat().st_size > 1000
    with pytest.raises(InvalidValueError, match="path="):
        curves_figure({"P@K": some(2)}, path="curves.pdf")


@pytest.mark.parametrize("panels", [{}, {"P@K": []}])
def test_nothing_to_draw(panels):
    with pytest.raises(InvalidValueError, match="panels="):
        curves_figure(panels)


def test_what_is_no_curve():
    for panels in ([1], {"P@K": [1]}):
        with pytest.raises(InvalidTypeError, match="panels="):
            curves_figure(panels)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((3, [1], [0.5]), InvalidTypeError, "label="),
        (("a", [], []), InvalidValueError, "k="),
        (("a", [2, 1], [0.5, 0.5]), InvalidValueError, "k="),
        (("a", [0, 1], [0.5, 0.5]), InvalidValueError, "k="),
        (("a", [1, 2], [0.5]), InvalidValueError, "values="),
        (("a", [1], ["x"]), InvalidTypeError, "values="),
        (("a", [1], [0.5], [0.4]), InvalidValueError, "both ends"),
        (("a", [1], [0.5], [0.4], [0.6, 0.7]), InvalidValueError, "high="),
        (("a", [1], [0.5], None, None, "dotted"), InvalidValueError, "kind="),
    ],
)
def test_what_a_curve_refuses(arguments, error, match):
    with pytest.raises(error, match=match):
        Curve(*arguments)
