"""The picture of layers: score against depth."""

import numpy as np
import pytest

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.report import depth_figure

NAMES = ["stem", "a.long.name.of.a.layer.that.is.deep.inside", "last"]


def test_marks_and_intervals_are_where_the_numbers_are():
    figure = depth_figure(NAMES, [0.1, 0.5, 0.4], [0, 0.4, 0.3], [0.2, 0.6, 0.5], marked=NAMES[1:])
    axes = figure.axes[0]
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert [float(line.get_ydata()[0]) for line in points] == [0.1, 0.5, 0.4]
    assert points[1].get_color() == points[2].get_color() != points[0].get_color()
    assert points[1].get_markersize() > points[2].get_markersize()
    spans = [list(line.get_ydata()) for line in axes.lines if line.get_marker() == "None"][1:]
    assert spans == [[0, 0.2], [0.4, 0.6], [0.3, 0.5]]


def test_no_interval_where_none_is_known(tmp_path):
    nan = [np.nan] * 3
    figure = depth_figure(NAMES, [0.1, 0.5, 0.4], nan, nan, path=tmp_path / "layers.png")
    assert len(figure.axes[0].lines) == 4
    assert (tmp_path / "layers.png").stat().st_size > 1000


@pytest.mark.parametrize("count", [1, 3, 24])
def test_labels_stay_inside_and_apart(count):
    names = [f"stage{i}.block{i}" for i in range(count)]
    figure = depth_figure(names, *[np.linspace(0, 1, count)] * 3, title="Which layer?")
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].get_xticklabels()]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ((["a"], [1.0, 2.0], [0.0], [0.0]), InvalidValueError, "names"),
        ((["a"], [1.0], [0.0, 1.0], [0.0]), InvalidValueError, "low"),
        ((["a"], [1.0], [0.0], []), InvalidValueError, "high"),
        (([], [], [], []), InvalidValueError, "names"),
        (("a", [1.0], [0.0], [0.0]), InvalidTypeError, "names"),
        ((["a"], ["x"], [0.0], [0.0]), InvalidTypeError, "scores"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, named):
    with pytest.raises(error, match=named):
        depth_figure(*arguments)
