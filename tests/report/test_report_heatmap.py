"""Heat maps: what is drawn, that nothing overlaps or is cut off, and what is refused."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from pyattrx.affinities import Affinity
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.report import heatmap

SIZES = [1, 2, 8, 40, 120]


def affinity_of(count, low=0.0, seed=0):
    values = np.random.default_rng(seed).uniform(low, 0.9, (count, count))
    values = (values + values.T) / 2
    np.fill_diagonal(values, 1)
    return values


def names_of(count, long=False):
    tail = "/with_a_long_specification.of_a_network:factory" if long else ""
    return [f"network_{i}{tail}" for i in range(count)]


def labels_of(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def numbers_of(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_an_affinity_brings_names_and_errors(tmp_path):
    values = np.array([[1.0, 0.4], [0.2, 1.0]])
    errors = np.full((2, 2), 0.1)
    result = Affinity(["a", "b"], values, errors, False, np.arange(4))
    for place, given in {
        "one.svg": {"values": result},
        "two.svg": {"values": values, "names": ["a", "b"], "stderr": errors, "symmetric": False},
    }.items():
        heatmap(**given, order=[1, 0], path=tmp_path / place)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    for argument, own in {"names": ["a", "b"], "stderr": errors, "symmetric": True}.items():
        with pytest.raises(InvalidValueError, match=f"^{argument}=.*: expected None: .*its own"):
            heatmap(result, **{argument: own})
    with pytest.raises(InvalidTypeError, match="^names=None"):
        heatmap(np.eye(2))


@pytest.mark.parametrize("count", SIZES)
def test_names_on_both_axes(count):
    ax = heatmap(affinity_of(count), names_of(count)).axes[0]
    assert labels_of(ax.yaxis) == names_of(count)
    assert labels_of(ax.xaxis) == names_of(count)
    assert ax.get_ylim() == (count - 0.5, -0.5)  # the first target on top


def test_too_many_names_are_thinned():
    ax = heatmap(affinity_of(700), names_of(700)).axes[0]
    assert labels_of(ax.yaxis) == labels_of(ax.xaxis) == names_of(700)[::3]


@pytest.mark.parametrize(
    ("count", "long", "symmetric"),
    [
        *itertools.product([1, 2, 8], [False, True], [False, True]),
        *[(20, False, False), (20, True, True), (40, False, True), (40, True, False)],
        *[(120, False, False), (300, True, True)],
    ],
)
def test_nothing_overlaps_or_is_cut_off(count, long, symmetric):
    figure = heatmap(
        affinity_of(count, low=-0.5),
        names_of(count, long),
        stderr=np.full((count, count), 0.0123),
        title="A title that says what all of this is about",
        symmetric=symmetric,
    )
    figure.set_dpi(100)
    renderer = FigureCanvasAgg(figure).get_renderer()
    box = figure.get_tightbbox(renderer)
    width, height = figure.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height

    ax = figure.axes[0]
    pitch = ax.get_window_extent(renderer).height / count
    columns, rows = ax.get_xticklabels(), ax.get_yticklabels()
    for label in rows:
        assert label.get_window_extent(renderer).height <= pitch * 1.001
    (angle,) = {label.get_rotation() for label in columns}
    for label in columns:
        if angle == 0:
            assert label.get_window_extent(renderer).width <= pitch
        label.set_rotation(0)
        assert label.get_window_extent(renderer).height <= max(
            pitch * np.sin(np.radians(angle)) * 1.001, pitch * (angle == 0)
        )
    for text in ax.texts:
        assert text.get_window_extent(renderer).width <= 0.95 * pitch


def test_numbers_and_errors_in_the_cells():
    values = np.array([[1.0, 0.25, 0.5], [0.25, 1.0, 0.125], [0.5, 0.125, 1.0]])
    expected = ["0.25", "0.50", "0.25", "0.12", "0.50", "0.12"]
    assert numbers_of(heatmap(values, names_of(3))) == expected
    stderr = np.full((3, 3), 0.011)
    stderr[0, 1] = np.nan
    numbers = numbers_of(heatmap(values, names_of(3), stderr=stderr))
    assert numbers.count("±0.011") == 5
    assert numbers[:3] == ["0.25", "0.50", "±0.011"]


def test_small_differences_get_more_digits_and_zero_has_no_sign():
    values = np.array([[1, 0.9012, 0.9034], [0.9012, 1, 0.9], [0.9034, 0.9, 1]])
    assert "0.9012" in numbers_of(heatmap(values, names_of(3)))
    values = np.array([[1, -1e-9, -0.5], [-1e-9, 1, 0.5], [-0.5, 0.5, 1]])
    assert numbers_of(heatmap(values, names_of(3)))[:2] == ["0.00", "−0.50"]


def test_the_diagonal_speaks_only_where_it_is_not_one():
    values = np.array([[1.0, 0.4], [0.4, 0.75]])
    assert numbers_of(heatmap(values, names_of(2))) == ["0.40", "0.40", "0.75"]


@pytest.mark.parametrize("count", [21, 40])
def test_many_networks_have_no_numbers(count):
    assert numbers_of(heatmap(affinity_of(count), names_of(count))) == []


def test_numbers_that_do_not_fit_are_left_out():
    values = 1e30 * affinity_of(3)
    assert numbers_of(heatmap(values, names_of(3))) == []


def test_scale_runs_over_the_other_values_and_the_diagonal_is_grey():
    values = affinity_of(6)
    image = heatmap(values, names_of(6)).axes[0].images[0]
    others = values[~np.eye(6, dtype=bool)]
    assert image.get_clim() == (others.min(), others.max())
    assert np.array_equal(np.ma.getmaskarray(image.get_array()), np.eye(6, dtype=bool))
    red, green, blue, _ = image.to_rgba(image.get_array())[2, 2]
    assert red == green == blue


def test_scale_is_centred_where_there_are_negative_values():
    values = np.array([[1.0, -0.2, 0.6], [-0.2, 1.0, 0.1], [0.6, 0.1, 1.0]])
    image = heatmap(values, names_of(3)).axes[0].images[0]
    assert image.get_clim() == (-0.6, 0.6)
    middle = to_hex(image.cmap(image.norm(0.0)))
    assert all(int(middle[i : i + 2], 16) > 0xE8 for i in (1, 3, 5))


def test_rounding_makes_no_contrast():
    values = np.full((3, 3), 0.5)
    values[0, 1] = np.nextafter(0.5, 1)
    figure = heatmap(values, names_of(3))
    assert len(figure.axes) == 1  # a colour bar would say nothing
    image = figure.axes[0].images[0]
    assert np.ptp(image.norm(values)) < 1e-9


def test_rounding_below_zero_is_not_negative():
    values = affinity_of(3)
    values[0, 1] = values[1, 0] = -1e-17
    assert heatmap(values, names_of(3)).axes[0].images[0].cmap.name != "RdBu_r"


@pytest.mark.parametrize("scale", [1e-12, 1e-4, 1.0, 1e5, 1e30])
@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_ticks_of_the_colour_bar_say_their_value(scale, shift):
    values = scale * (affinity_of(4, low=-0.9 if shift == 0 else 0) + shift)
    figure = heatmap(values, names_of(4))
    bar = figure.axes[1]
    low, high = figure.axes[0].images[0].get_clim()
    ticks = bar.get_yticks()
    assert len(ticks) >= 2
    assert low <= min(ticks) <= max(ticks) <= high
    written = [float(text.replace("−", "-")) for text in labels_of(bar.yaxis)]
    np.testing.assert_allclose(written, ticks, rtol=1e-5, atol=1e-9 * high)
    assert len(set(written)) == len(written)
    box = bar.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    assert box.x1 <= figure.bbox.x1


def test_order_sorts_rows_columns_and_errors():
    values = affinity_of(4)
    stderr = np.arange(16.0).reshape(4, 4) / 1000
    order = [2, 0, 3, 1]
    a = heatmap(values, names_of(4), stderr=stderr, order=order)
    b = heatmap(
        values[np.ix_(order, order)],
        [names_of(4)[i] for i in order],
        stderr=stderr[np.ix_(order, order)],
    )
    assert numbers_of(a) == numbers_of(b)
    assert labels_of(a.axes[0].yaxis) == ["network_2", "network_0", "network_3", "network_1"]
    assert np.array_equal(a.axes[0].images[0].get_array(), b.axes[0].images[0].get_array())


def test_axes_are_named_where_they_differ():
    values = affinity_of(3)
    values[0, 1] = -0.3

    def roles(**options):
        return [text.get_text() for text in heatmap(values, names_of(3), **options).texts]

    assert {"source", "target"} <= set(roles(symmetric=False))
    with pytest.raises(InvalidValueError, match="symmetric=True"):
        roles()
    texts = [text.get_text() for text in heatmap(affinity_of(3), names_of(3)).texts]
    assert not {"source", "target"} & set(texts)


def test_long_names_are_shortened_but_never_confused():
    stem = "x" * 60
    different = [f"first_{stem}_a", f"other_{stem}_b"]
    shown = labels_of(heatmap(affinity_of(2), different).axes[0].yaxis)
    assert [len(name) for name in shown] == [40, 40]
    assert [(n[:6], n[-2:]) for n in shown] == [("first_", "_a"), ("other_", "_b")]
    similar = [f"{stem}a{stem}", f"{stem}b{stem}"]
    assert labels_of(heatmap(affinity_of(2), similar).axes[0].yaxis) == similar


def test_names_are_not_taken_for_formulas():
    names = ["$\\frac{a}$", "a$b_c", "\\alpha\n"]
    figure = heatmap(affinity_of(3), names, title="$x", label="$y_")
    FigureCanvasAgg(figure).draw()
    assert labels_of(figure.axes[0].yaxis) == ["$\\frac{a}$", "a$b_c", "\\alpha"]


def test_title_and_label():
    figure = heatmap(affinity_of(3), names_of(3), title="  Nearest\nsources ", label="distance")
    assert figure.texts[0].get_text() == "Nearest sources"
    assert figure.axes[1].get_ylabel() == "distance"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"values": np.ones((2, 3))}, r"values=\(2, 3\)"),
        ({"values": np.ones(3)}, r"values=\(3,\)"),
        ({"values": np.empty((0, 0)), "names": []}, r"values=\(0, 0\)"),
        ({"values": np.full((3, 3), np.nan)}, "values=nan"),
        ({"values": np.full((3, 3), np.inf)}, "values=inf"),
        ({"values": np.eye(3) * 1e200}, r"values=1e\+200"),
        ({"names": ["a", "b"]}, "names=.*3 strings"),
        ({"stderr": np.ones((2, 2))}, r"stderr=\(2, 2\)"),
        ({"stderr": -np.ones((3, 3))}, "stderr=-1"),
        ({"stderr": np.full((3, 3), np.inf)}, "stderr=inf"),
        ({"order": [0, 1]}, "order="),
        ({"order": [0, 1, 1]}, "order="),
        ({"order": [1, 2, 3]}, "order="),
    ],
)
def test_wrong_values(options, message):
    with pytest.raises(InvalidValueError, match=message):
        heatmap(**{"values": np.eye(3), "names": ["a", "b", "c"], **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"values": "abc"}, "values="),
        ({"values": [[1, 2], [3]]}, "values="),
        ({"names": "abc"}, "names='abc'"),
        ({"names": ["a", "b", 3]}, "names=3"),
        ({"stderr": "small"}, "stderr="),
        ({"order": ["a", "b", "c"]}, "order="),
        ({"order": [0.0, 1.0, 2.0]}, "order="),
        ({"title": 3}, "title=3"),
        ({"label": 3}, "label=3"),
        ({"path": 3}, "path=3"),
    ],
)
def test_wrong_types(options, message):
    with pytest.raises(InvalidTypeError, match=message):
        heatmap(**{"values": np.eye(3), "names": ["a", "b", "c"], **options})
