"""Trees against SciPy, brute force and a parser of their Newick text."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import linkage as scipy_linkage

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.tree import Tree, build_tree

FORMS = ["published", "affinity"]


def names_of(count):
    return [f"net{i:02d}" for i in range(count)]


def random_affinity(seed, count, symmetric=True):
    values = np.random.default_rng(seed).uniform(-1, 1, (count, count))
    if symmetric:
        values = (values + values.T) / 2
    np.fill_diagonal(values, 1)
    return values


@st.composite
def affinities(draw):
    """Matrices with many ties, from a few possible values."""
    count = draw(st.integers(2, 7))
    cells = st.sampled_from([-0.5, 0.0, 0.25, 0.5, 1.0])
    upper = draw(st.lists(cells, min_size=count * count, max_size=count * count))
    return np.array(upper).reshape(count, count)


def row_distances(values):
    return np.sqrt(((values[:, None, :] - values[None, :, :]) ** 2).sum(-1))


def parse_newick(text):
    """Return the distance of every leaf to the root of every clade that holds it."""
    position = 0

    def label():
        nonlocal position
        if text[position] != "'":
            start = position
            while text[position] not in ":,();":
                position += 1
            return text[start:position]
        out = ""
        position += 1
        while True:
            if text[position] == "'":
                if text[position + 1] != "'":
                    position += 1
                    return out
                position += 1
            out += text[position]
            position += 1

    def clade():
        nonlocal position
        if text[position] != "(":
            return {label(): 0.0}, {}
        depths, pairs = {}, {}
        while text[position] in "(,":
            position += 1
            below, inner = clade()
            assert text[position] == ":"
            position += 1
            start = position
            while text[position] not in ",)":
                position += 1
            length = float(text[start:position])
            assert length >= 0
            below = {name: depth + length for name, depth in below.items()}
            for (a, x), (b, y) in itertools.product(depths.items(), below.items()):
                pairs[frozenset((a, b))] = x + y
            pairs.update(inner)
            depths.update(below)
        assert text[position] == ")"
        position += 1
        return depths, pairs

    depths, pairs = clade()
    assert text[position:] == ";"
    return list(depths), pairs


class TestBuild:
    @pytest.mark.parametrize("count", [2, 3, 9, 40])
    @pytest.mark.parametrize("symmetric", [True, False])
    def test_published_is_single_linkage_on_rows(self, count, symmetric):
        values = random_affinity(count, count, symmetric)
        expected = scipy_linkage(values, method="single", metric="euclidean")
        np.testing.assert_allclose(build_tree(values, names_of(count)).linkage, expected)

    @pytest.mark.parametrize("count", [2, 3, 9, 40])
    def test_affinity_is_average_linkage_of_both_directions(self, count):
        values = random_affinity(count, count, symmetric=False)
        both = 1 - (values + values.T) / 2
        expected = scipy_linkage(both[np.triu_indices(count, 1)], method="average")
        tree = build_tree(values, names_of(count), form="affinity")
        np.testing.assert_allclose(tree.linkage, expected)

    def test_published_merges_at_the_smallest_largest_step(self):
        values = random_affinity(3, 12, symmetric=False)
        steps = row_distances(values)
        for k in range(12):
            steps = np.minimum(steps, np.maximum(steps[:, k, None], steps[None, k, :]))
        np.testing.assert_allclose(build_tree(values, names_of(12)).cophenetic(), steps)

    def test_diagonal_matters_only_to_published(self):
        values = random_affinity(1, 6)
        other = values.copy()
        np.fill_diagonal(other, 3.0)
        names = names_of(6)
        assert build_tree(values, names, form="affinity") == build_tree(
            other, names, form="affinity"
        )
        assert build_tree(values, names) != build_tree(other, names)

    @pytest.mark.parametrize("form", FORMS)
    @settings(max_examples=60, deadline=None)
    @given(values=affinities(), data=st.data())
    def test_order_of_networks_does_not_matter(self, form, values, data):
        count = len(values)
        names = names_of(count)
        tree = build_tree(values, names, form=form)
        order = data.draw(st.permutations(range(count)))
        other = build_tree(values[np.ix_(order, order)], [names[i] for i in order], form=form)
        assert other.leaves == tree.leaves
        assert other.newick() == tree.newick()
        assert other.linkage[:, 2:].tobytes() == tree.linkage[:, 2:].tobytes()
        assert [other.cut(k) for k in range(1, count + 1)] == [
            tree.cut(k) for k in range(1, count + 1)
        ]

    def test_equal_networks_join_at_zero(self):
        values = np.array([[1.0, 1.0 + 1e-9, 0.2], [1.0 + 1e-9, 1.0, 0.2], [0.2, 0.2, 1.0]])
        tree = build_tree(values, ["a", "b", "c"], form="affinity")
        assert tree.linkage[0].tolist() == [0.0, 1.0, 0.0, 2.0]

    @pytest.mark.parametrize("form", FORMS)
    def test_one_network(self, form):
        tree = build_tree([[1.0]], ["only"], form=form)
        assert tree.linkage.shape == (0, 4)
        assert tree.leaves == ("only",)
        assert tree.order == (0,)
        assert tree.cut(1) == {"only": 0}
        assert tree.newick() == "only;"
        assert tree.cophenetic().tolist() == [[0.0]]

    def test_input_is_left_alone(self):
        values = random_affinity(0, 5)
        before = values.copy()
        build_tree(values, names_of(5))
        assert np.array_equal(values, before)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, bad):
        values = random_affinity(0, 3)
        values[2, 1] = bad
        with pytest.raises(InvalidValueError, match=r"values=.*target 'net02', source 'net01'"):
            build_tree(values, names_of(3))

    @pytest.mark.parametrize(
        ("values", "names", "message"),
        [
            (np.eye(3), ["a", "b"], r"values=\(3, 3\): expected shape \(2, 2\)"),
            (np.ones((2, 3)), ["a", "b"], r"values=\(2, 3\)"),
            (np.ones(4), ["a", "b"], r"values=\(4,\)"),
            (np.eye(2), ["a", "a"], "names='a': expected every name only once"),
            (np.empty((0, 0)), [], "at least one network"),
            (np.array([[1e308, -1e308], [-1e308, 1e308]]), ["a", "b"], "fit float64"),
        ],
    )
    def test_wrong_values(self, values, names, message):
        with pytest.raises(InvalidValueError, match=message):
            build_tree(values, names)

    @pytest.mark.parametrize(
        ("values", "names", "message"),
        [
            (np.eye(2), "ab", "names='ab'"),
            (np.eye(2), ["a", 1], "names=1"),
            (np.eye(2), None, "names=None"),
            ([["1", "2"], ["3", "4"]], ["a", "b"], "values="),
            ([[1, 2], [3]], ["a", "b"], "values="),
            (np.eye(2) * 1j, ["a", "b"], "complex"),
        ],
    )
    def test_wrong_types(self, values, names, message):
        with pytest.raises(InvalidTypeError, match=message):
            build_tree(values, names)

    def test_unknown_form(self):
        with pytest.raises(InvalidValueError, match="form='complete'"):
            build_tree(np.eye(2), ["a", "b"], form="complete")

    def test_affinity_form_needs_affinities_of_at_most_one(self):
        with pytest.raises(InvalidValueError, match=r"values=1\.5.*at most 1"):
            build_tree([[1.0, 1.5], [1.5, 1.0]], ["a", "b"], form="affinity")


class TestTree:
    @settings(max_examples=60, deadline=None)
    @given(values=affinities())
    def test_leaves_keep_clusters_together(self, values):
        tree = build_tree(values, names_of(len(values)))
        assert sorted(tree.order) == list(range(len(values)))
        assert tree.leaves == tuple(tree.names[i] for i in tree.order)
        for k in range(1, len(values) + 1):
            groups = tree.cut(k)
            assert list(groups) == list(tree.leaves)
            assert sorted(set(groups.values())) == list(range(k))
            assert list(groups.values()) == sorted(groups.values())

    def test_larger_side_first_then_by_name(self):
        tree = Tree(("d", "c", "b", "a"), [[0, 1, 1.0, 2], [2, 3, 2.0, 2], [4, 5, 3.0, 4]])
        assert tree.leaves == ("a", "b", "c", "d")
        tree = Tree(("a", "b", "c"), [[1, 2, 1.0, 2], [0, 3, 2.0, 3]])
        assert tree.leaves == ("b", "c", "a")

    def test_cut_groups_what_lies_within_the_threshold(self):
        tree = build_tree(random_affinity(5, 15), names_of(15))
        near = tree.cophenetic()
        for k in range(2, 15):
            threshold = tree.linkage[15 - k - 1, 2]
            groups = tree.cut(k)
            label = np.array([groups[name] for name in tree.names])
            assert np.array_equal(label[:, None] == label[None, :], near <= threshold)

    def test_cut_undoes_equal_distances_too(self):
        tree = build_tree(np.eye(4), names_of(4))
        assert sorted(tree.cut(3).values()) == [0, 0, 1, 2]

    @pytest.mark.parametrize("k", [0, -1, 4])
    def test_cut_out_of_range(self, k):
        with pytest.raises(InvalidValueError, match=f"k={k}: expected an integer from 1 to 3"):
            build_tree(np.eye(3), names_of(3)).cut(k)

    @pytest.mark.parametrize("k", [1.5, "2", True, None])
    def test_cut_wrong_type(self, k):
        with pytest.raises(InvalidTypeError, match="k="):
            build_tree(np.eye(3), names_of(3)).cut(k)

    @settings(max_examples=60, deadline=None)
    @given(
        names=st.lists(
            st.text(st.sampled_from("ab'_ :,();[]é-.1"), min_size=1),
            min_size=2,
            max_size=7,
            unique=True,
        ),
        seed=st.integers(0, 99),
    )
    def test_newick_holds_names_and_distances(self, names, seed):
        tree = build_tree(random_affinity(seed, len(names)), names)
        leaves, pairs = parse_newick(tree.newick())
        assert tuple(leaves) == tree.leaves
        distances = tree.cophenetic()
        for (i, a), (j, b) in itertools.combinations(enumerate(names), 2):
            assert pairs[frozenset((a, b))] == pytest.approx(distances[i, j], abs=1e-12)

    def test_long_chains(self):
        count = 3000
        chain = [[count + i - 1 if i else 0, i + 1, i + 1.0, i + 2] for i in range(count - 1)]
        tree = Tree(tuple(names_of(count)), np.array(chain))
        assert tree.order == tuple(range(count))
        assert tree.newick().count("(") == count - 1
        assert set(tree.cut(2).values()) == {0, 1}

    def test_frozen(self):
        tree = build_tree(np.eye(3), names_of(3))
        with pytest.raises(AttributeError):
            tree.names = ("x",)
        with pytest.raises(ValueError, match="read-only"):
            tree.linkage[0, 0] = 7

    def test_linkage_is_a_copy(self):
        linkage = np.array([[0.0, 1.0, 0.5, 2.0]])
        tree = Tree(("a", "b"), linkage)
        linkage[0, 2] = 9.0
        assert tree.linkage[0, 2] == 0.5

    def test_equality(self):
        a = build_tree(random_affinity(0, 4), names_of(4))
        b = build_tree(random_affinity(0, 4), names_of(4))
        assert a == b
        assert hash(a) == hash(b)
        assert a != build_tree(random_affinity(1, 4), names_of(4))
        assert a != "tree"

    @pytest.mark.parametrize(
        ("linkage", "message"),
        [
            (np.empty((0, 4)), r"shape \(2, 4\)"),
            ([[0, 1, 1.0, 2], [0, 1, 2.0, 2]], "valid SciPy linkage"),
            ([[0, 1, 2.0, 2], [2, 3, 1.0, 3]], "ascending"),
            ([[0, 1, 1.0, 2], [2, 3, np.inf, 3]], "finite"),
        ],
    )
    def test_wrong_linkage(self, linkage, message):
        with pytest.raises(InvalidValueError, match=message):
            Tree(("a", "b", "c"), linkage)
