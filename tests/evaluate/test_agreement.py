"""Agreement of trees and groupings against pairs counted one by one."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.evaluate import adjusted_rand_index, cophenetic_correlation
from pyattrx.tree import Tree, build_tree


def tree(seed, names="abcdef"):
    values = np.random.default_rng(seed).random((len(names), len(names)))
    return build_tree(values, list(names))


def distance(tree, one, two):
    """Height of the first merge that has both, by walking up."""
    members = [{name} for name in tree.names]
    for a, b, height, _ in tree.linkage:
        members.append(members[int(a)] | members[int(b)])
        if {one, two} <= members[-1]:
            return height
    raise AssertionError


def test_cophenetic_correlation_over_all_pairs():
    first, second = tree(0), tree(1, "fbadce")
    pairs = list(itertools.combinations("abcdef", 2))
    a = [distance(first, *pair) for pair in pairs]
    b = [distance(second, *pair) for pair in pairs]
    expected = np.cov(a, b)[0, 1] / (np.std(a, ddof=1) * np.std(b, ddof=1))
    assert cophenetic_correlation(first, second) == pytest.approx(expected)
    assert cophenetic_correlation(second, first) == pytest.approx(expected)


def test_a_tree_agrees_with_itself_whatever_the_order_of_its_names():
    values = np.random.default_rng(2).random((5, 5))
    order = [3, 1, 4, 0, 2]
    one = build_tree(values, list("abcde"))
    two = build_tree(values[np.ix_(order, order)], [list("abcde")[i] for i in order])
    assert cophenetic_correlation(one, two) == pytest.approx(1.0)


def test_trees_that_order_nothing_have_no_correlation():
    flat = Tree(("a", "b", "c"), [[0, 1, 1.0, 2], [2, 3, 1.0, 3]])
    assert math.isnan(cophenetic_correlation(flat, tree(0, "abc")))
    assert math.isnan(cophenetic_correlation(tree(0, "ab"), tree(1, "ab")))
    assert math.isnan(cophenetic_correlation(tree(0, "a"), tree(1, "a")))


def test_trees_of_different_networks():
    with pytest.raises(InvalidValueError, match="second="):
        cophenetic_correlation(tree(0, "abc"), tree(0, "abd"))
    with pytest.raises(InvalidTypeError, match="first="):
        cophenetic_correlation("abc", tree(0, "abc"))


labels = st.integers(1, 8).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n)] * 2)
)


@settings(max_examples=200, deadline=None)
@given(labels)
def test_adjusted_rand_index_by_counting_pairs(case):
    first, second = case
    both = neither = only_first = only_second = 0
    for i, j in itertools.combinations(range(len(first)), 2):
        a, b = first[i] == first[j], second[i] == second[j]
        both += a and b
        neither += not a and not b
        only_first += a and not b
        only_second += b and not a
    numerator = 2 * (both * neither - only_first * only_second)
    denominator = (both + only_first) * (only_first + neither) + (both + only_second) * (
        only_second + neither
    )
    expected = numerator / denominator if denominator else 1.0
    named = [{str(i): label for i, label in enumerate(labels)} for labels in case]
    assert adjusted_rand_index(*named) == pytest.approx(expected)


def test_groups_of_a_cut_tree():
    groups = tree(3).cut(3)
    assert adjusted_rand_index(groups, {name: f"group {g}" for name, g in groups.items()}) == 1.0
    assert adjusted_rand_index({"a": 0}, {"a": 1}) == 1.0


def test_groupings_of_different_networks():
    with pytest.raises(InvalidValueError, match="second="):
        adjusted_rand_index({"a": 0}, {"b": 0})
    with pytest.raises(InvalidValueError, match="second="):
        adjusted_rand_index({}, {})
    with pytest.raises(InvalidTypeError, match="first="):
        adjusted_rand_index(["a"], {"a": 0})
