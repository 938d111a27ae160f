"""Tables with names: what they refuse, how they are cut and brought together."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.evaluate import Table, align, kendall, precision_at_k, recall_at_k, spearman
from pyattrx.evaluate.tables import as_table

VALUES = np.arange(12.0).reshape(3, 4)
NAMES = ("a", "b", "c"), ("a", "b", "c", "d")


def test_measures_accept_it_as_they_accept_a_frame():
    rng = np.random.default_rng(0)
    affinity, truth = rng.normal(size=(2, 3, 4))
    frames = [pd.DataFrame(x, index=NAMES[0], columns=NAMES[1]) for x in (affinity, truth)]
    tables = [Table(x, *NAMES) for x in (affinity, truth)]
    for measure in (kendall, spearman):
        assert measure(*tables) == measure(*frames) == measure(tables[0], frames[1])
    for measure in (precision_at_k, recall_at_k):
        assert measure(*tables, k=2, relevant=1) == measure(*frames, k=2, relevant=1)


def test_columns_of_a_frame_are_columns():
    names = ["cosines", "groups", "without", "blocks"]
    table = as_table(pd.DataFrame(VALUES, index=NAMES[0], columns=names))
    assert table.sources == tuple(names)
    assert table.cosines is None
    assert table.without is None


def test_the_own_name_and_what_is_missing():
    table = Table([[np.nan, 1, 2], [3, 4, np.nan]], ["x", "y"], ["y", "x", "z"])
    assert table.missing.tolist() == [[True, False, False], [False, False, True]]
    assert table.own.tolist() == [[False, True, False], [True, False, False]]


def test_select_and_rename_keep_what_belongs_together():
    cosines = np.random.default_rng(0).normal(size=(5, 3, 4))
    table = Table(cosines.mean(0), *NAMES, cosines, [7, 7, 2, 2, 9])
    part = table.select(["c", "a"], ["d", "b"])
    assert part.values.tolist() == table.values[[2, 0]][:, [3, 1]].tolist()
    np.testing.assert_array_equal(part.cosines, cosines[:, [2, 0]][:, :, [3, 1]])
    assert part.groups.tolist() == [1, 1, 0, 0, 2]
    other = part.renamed({"d": "delta", "absent": "x"})
    assert (other.targets, other.sources) == (("c", "a"), ("delta", "b"))
    assert other.cosines is not None
    table = Table(VALUES, *NAMES, without=cosines[:2], blocks=[0, 0, 1])
    other = table.renamed({"a": "alpha"}).select(["c", "alpha"], ["b"])
    np.testing.assert_array_equal(other.without, cosines[:2, [2, 0]][:, :, [1]])
    assert other.blocks.tolist() == [0, 0, 1]


def test_align_takes_what_both_have_in_the_truths_order():
    affinity = Table(VALUES, *NAMES)
    truth = Table(np.ones((2, 3)), ["b", "a"], ["d", "x", "b"])
    first, second = align(affinity, truth)
    assert (first.targets, first.sources) == (("b", "a"), ("d", "b"))
    assert first.values.tolist() == [[7, 5], [3, 1]]
    assert second.values.shape == (2, 2)
    for targets, sources, kind in ((["x"], ["a"], "target"), (["a"], ["x"], "source")):
        with pytest.raises(InvalidValueError, match=f"at least one {kind}"):
            align(affinity, Table([[1.0]], targets, sources))


def test_tables_of_anything():
    assert as_table(VALUES).targets == ("target 0", "target 1", "target 2")
    assert as_table(VALUES[:, :3]).targets == as_table(VALUES[:, :3]).sources == ("0", "1", "2")
    like = SimpleNamespace(values=np.eye(2), names=["p", "q"], cosines=np.eye(2)[None], groups=[4])
    table = as_table(like)
    assert table.targets == table.sources == ("p", "q")
    assert table.groups.tolist() == [0]


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((VALUES[0], *NAMES), InvalidValueError, "values="),
        ((np.empty((0, 4)), (), NAMES[1]), InvalidValueError, "values="),
        (([["x"]], ["a"], ["b"]), InvalidTypeError, "values="),
        ((VALUES, NAMES[1], NAMES[1]), InvalidValueError, "targets=.*3 names"),
        ((VALUES, "abc", NAMES[1]), InvalidTypeError, "targets="),
        ((VALUES, NAMES[0], (1, 2, 3, 4)), InvalidTypeError, "sources="),
        ((VALUES, ("a", "b", "a"), NAMES[1]), InvalidValueError, "targets='a'"),
        ((VALUES, *NAMES, None, [0]), InvalidValueError, "groups="),
        ((VALUES, *NAMES, np.zeros((2, 4, 3))), InvalidValueError, "cosines="),
        (
            (np.ones((3, 4)), *NAMES, np.full((2, 3, 4), np.nan)),
            InvalidValueError,
            "row 0, column 0",
        ),
        (
            (np.ones((3, 4)), *NAMES, np.full((2, 3, 4), np.inf)),
            InvalidValueError,
            "row 0, column 0",
        ),
        ((VALUES, *NAMES, np.zeros((2, 3, 4)), [0]), InvalidValueError, "groups="),
        ((VALUES, *NAMES, None, None, np.zeros((2, 3, 4))), InvalidValueError, "without="),
        ((VALUES, *NAMES, None, None, None, [0, 1]), InvalidValueError, "without="),
        ((VALUES, *NAMES, None, None, np.zeros((2, 3, 3)), [0, 1]), InvalidValueError, "without="),
        ((VALUES, *NAMES, None, None, np.zeros((2, 3, 4)), [0, 0]), InvalidValueError, "blocks="),
        (
            (VALUES, *NAMES, None, None, np.zeros((2, 3, 4)), [0, 1, 2]),
            InvalidValueError,
            "blocks=",
        ),
        (
            (VALUES, *NAMES, np.zeros((2, 3, 4)), None, np.zeros((2, 3, 4)), [0, 1]),
            InvalidValueError,
            "without=",
        ),
    ],
)
def test_what_it_refuses(arguments, error, match):
    with pytest.raises(error, match=match):
        Table(*arguments)


def test_unknown_names():
    with pytest.raises(InvalidValueError, match="targets='z'"):
        Table(VALUES, *NAMES).select(["z"], ["a"])
    with pytest.raises(InvalidValueError, match="sources='z'"):
        Table(VALUES, *NAMES).select(["a"], ["z"])
    with pytest.raises(InvalidValueError, match="only once"):
        Table(VALUES, *NAMES).renamed({"a": "b"})
