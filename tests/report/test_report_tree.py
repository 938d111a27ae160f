"""Drawings of trees: branches where the linkage says, names legible and whole."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.report import tree_figure
from pyattrx.tree import Tree, build_tree


def tree_of(count, long=False):
    values = np.random.default_rng(count).uniform(-1, 1, (count, count))
    tail = "/with_a_long_specification.of_a_network:factory" if long else ""
    return build_tree(values + values.T, [f"network_{i}{tail}" for i in range(count)])


def labels_of(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def branches_of(figure):
    return [np.asarray(line) for line in figure.axes[0].collections[0].get_segments()]


@pytest.mark.parametrize("count", [1, 2, 8, 40, 300])
def test_leaves_from_the_top(count):
    tree = tree_of(count)
    figure = tree_figure(tree)
    assert labels_of(figure) == list(tree.leaves)
    assert figure.axes[0].get_ylim() == (count - 0.5, -0.5)


def test_too_many_names_are_thinned():
    tree = tree_of(600)
    assert labels_of(tree_figure(tree)) == list(tree.leaves[::2])


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("count", [1, 2, 8, 40, 150])
def test_nothing_overlaps_or_is_cut_off(count, long):
    figure = tree_figure(tree_of(count, long), title="Task similarity tree")
    figure.set_dpi(100)
    renderer = FigureCanvasAgg(figure).get_renderer()
    box = figure.get_tightbbox(renderer)
    width, height = figure.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height
    pitch = figure.axes[0].get_window_extent(renderer).height / count
    for label in figure.axes[0].get_yticklabels():
        assert label.get_window_extent(renderer).height <= pitch * 1.001


def test_branches_join_at_their_distance():
    # Leaves a, c at 0, 1 join at 1; b at 2 joins at 4. y of the pair is 0.5.
    tree = Tree(("a", "b", "c"), [[0, 2, 1.0, 2], [1, 3, 4.0, 3]])
    first, second, root = branches_of(tree_figure(tree))
    assert first.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]
    assert second.tolist() == [[0, 2], [4, 2], [4, 0.5], [1, 0.5]]
    assert root[0].tolist() == [4, 1.25]


@pytest.mark.parametrize("count", [2, 9, 30])
def test_every_merge_is_drawn_within_the_axes(count):
    tree = tree_of(count)
    figure = tree_figure(tree)
    left, right = figure.axes[0].get_xlim()
    assert left > tree.linkage[-1, 2]
    assert 0 <= right < tree.linkage[0, 2]
    *brackets, _ = branches_of(figure)
    assert [bracket[1, 0] for bracket in brackets] == tree.linkage[:, 2].tolist()


def test_axis_starts_close_below_merges_that_lie_far_from_zero():
    far = Tree(("a", "b", "c"), [[0, 1, 10.0, 2], [2, 3, 11.0, 3]])
    assert 9 < tree_figure(far).axes[0].get_xlim()[1] < 10
    near = Tree(("a", "b", "c"), [[0, 1, 1.0, 2], [2, 3, 11.0, 3]])
    same = Tree(("a", "b", "c"), [[0, 1, 1.0, 2], [2, 3, np.nextafter(1.0, 2), 3]])
    assert tree_figure(same).axes[0].get_xlim()[1] == 0
    assert tree_figure(near).axes[0].get_xlim()[1] == 0


@pytest.mark.parametrize("distance", [0.0, 1e-300, 1e-9, 3.0])
def test_one_distance_only(distance):
    tree = Tree(("a", "b", "c"), [[0, 1, distance, 2], [2, 3, distance, 3]])
    figure = tree_figure(tree)
    FigureCanvasAgg(figure).draw()
    left, right = figure.axes[0].get_xlim()
    assert left > right == 0


def test_names_are_not_taken_for_formulas():
    figure = tree_figure(build_tree(np.eye(2), ["$a_", "b$c$"]), title="$t")
    FigureCanvasAgg(figure).draw()
    assert sorted(labels_of(figure)) == ["$a_", "b$c$"]
    assert figure.texts[0].get_text() == "$t"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tree": np.zeros((1, 4))}, InvalidTypeError, "tree="),
        ({"title": 1}, InvalidTypeError, "title=1"),
        ({"path": 1}, InvalidTypeError, "path=1"),
        ({"path": "tree.pdf"}, InvalidValueError, "path='tree.pdf'"),
    ],
)
def test_wrong_arguments(options, error, message):
    with pytest.raises(error, match=message):
        tree_figure(**{"tree": tree_of(2), **options})
