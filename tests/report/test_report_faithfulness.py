"""Curves of faithfulness: lines are the mean curves, and nothing is cut off."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import nn

import pyattrx
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.report import faithfulness_figure


@pytest.fixture(scope="module")
def results():
    torch.manual_seed(0)
    probes = pyattrx.Probes.from_tensor(torch.rand(4, 3, 8, 8))
    found = []
    for name in ("one", "another network with a name that is much longer than others"):
        network = pyattrx.Encoder(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Tanh()), name=name)
        found += pyattrx.faithfulness_of_each(network, probes, ["saliency", "elrp"], patch=2)
    return found


def legend(figure):
    return [text.get_text() for text in figure.texts[1:]]


def same_line(line, curve):
    return (line.get_xdata() == curve[0]).all() and (line.get_ydata() == curve[1]).all()


def test_lines_and_bands_are_the_mean_curves(results):
    figure = faithfulness_figure(results[:2])
    for axes, measure in zip(figure.axes, ("distance", "scalar"), strict=True):
        random, *own = axes.lines  # one, in grey, as it is the same for both
        assert same_line(random, results[0].mean_curve(measure, random=True))
        assert len(own) == 2 and random.get_color() not in {line.get_color() for line in own}
        for line, one in zip(own, results[:2], strict=True):
            assert same_line(line, one.mean_curve(measure))
        _, y, error = results[0].mean_curve(measure)
        band = axes.collections[0].get_paths()[0].vertices[:, 1]
        assert band.max() == pytest.approx((y + 2 * error).max())


def test_random_orders_of_two_networks_are_in_their_colors(results):
    axes = faithfulness_figure(results[::2]).axes[0]
    assert [line.get_color() for line in axes.lines[:2]] == [
        line.get_color() for line in axes.lines[2:]
    ]
    for line, one in zip(axes.lines[:2], results[::2], strict=True):
        assert same_line(line, one.mean_curve(random=True))


def test_one_probe_has_no_band(results):
    torch.manual_seed(0)
    one = pyattrx.Probes.from_tensor(torch.rand(1, 3, 8, 8))
    figure = faithfulness_figure([pyattrx.faithfulness(nn.Conv2d(3, 2, 3), one)])
    assert [len(axes.collections) for axes in figure.axes] == [0, 0]


def test_the_legend_says_what_differs(results):
    assert legend(faithfulness_figure(results[:2])) == ["saliency", "elrp", "random order"]
    assert legend(faithfulness_figure(results[::2]))[0] == "one"
    assert legend(faithfulness_figure(results))[:2] == ["one: saliency", "one: elrp"]
    figure = faithfulness_figure(results[:2])
    assert figure.texts[0].get_text() == "one: strongest 2 x 2 pixels first, filled by mean"
    assert faithfulness_figure(results, title="Mine").texts[0].get_text() == "Mine"


def test_nothing_is_cut_off(results):
    figure = faithfulness_figure(results)
    figure.set_dpi(100)
    box = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    width, height = figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
    assert np.isfinite([width, height]).all()


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        (lambda found: found[0], InvalidTypeError, "results="),
        (lambda found: [], InvalidValueError, "results=.*at least one"),
        (lambda found: [found[0], 3], InvalidTypeError, "results=3"),
    ],
)
def test_wrong_arguments_are_named(results, change, error, named):
    with pytest.raises(error, match=named):
        faithfulness_figure(change(results))
    with pytest.raises(InvalidValueError, match="path="):
        faithfulness_figure(results, path="curves.gif")
    with pytest.raises(InvalidTypeError, match="title="):
        faithfulness_figure(results, title=3)
