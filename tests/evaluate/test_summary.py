"""Summaries are the single measures, and files of names and curves."""

import functools

import numpy as np
import pytest

from pyattrx.errors import InvalidTypeError, InvalidValueError, PyattrxError
from pyattrx.evaluate import (
    bootstrap,
    kendall,
    precision_at_k,
    precision_curve,
    read_curves,
    read_names,
    recall_at_k,
    spearman,
    summarize,
    weighted_kendall,
)

RNG = np.random.default_rng(0)
TRUTH, AFFINITY = RNG.normal(size=(2, 9, 9))
RUNS = [(AFFINITY, TRUTH)]


def test_a_summary_is_made_of_the_measures():
    found = summarize({"a": RUNS, "b": [(TRUTH, TRUTH)] * 2}, k=[1, 4], relevant=3, samples=200)
    assert list(found) == ["a", "b"]
    assert list(found["a"]) == [
        "spearman", "kendall", "weighted_kendall", "P@1", "R@1", "regret@1", "P@4", "R@4",
        "regret@4",
    ]  # fmt: skip
    assert found["a"]["spearman"] == bootstrap(spearman, RUNS, samples=200)
    assert found["a"]["weighted_kendall"] == bootstrap(weighted_kendall, RUNS, samples=200)
    assert found["a"]["kendall"] == bootstrap(kendall, RUNS, samples=200)
    for k in (1, 4):
        measure = functools.partial(precision_at_k, k=k, relevant=3)
        assert found["a"][f"P@{k}"] == bootstrap(measure, RUNS, samples=200)
        recall = bootstrap(functools.partial(recall_at_k, k=k, relevant=3), RUNS, samples=200)
        for end in ("value", "low", "high"):
            assert getattr(found["a"][f"R@{k}"], end) == pytest.approx(getattr(recall, end))
    assert found["b"]["P@1"].value == 1


def test_numbers_of_sources_may_be_an_array():
    runs = {"a": RUNS}
    assert summarize(runs, k=np.array([1, 4]), samples=200) == summarize(
        runs, k=[1, 4], samples=200
    )


def test_a_curve_has_a_precision_for_every_k():
    curve = precision_curve(RUNS, k=[2, 5], relevant=4, samples=100)
    found = summarize({"a": RUNS}, k=[2, 5], relevant=4, samples=100)["a"]
    assert curve == [found["P@2"], found["P@5"]]


def test_defaults_fit_the_target_with_fewest_sources():
    few = TRUTH[:5, :5]
    found = summarize({"a": [(few, few)], "b": RUNS}, samples=100)
    assert found == summarize({"a": [(few, few)], "b": RUNS}, k=[1, 3], relevant=2, samples=100)
    assert found["a"]["R@1"].value == 0.5
    curve = precision_curve([(few, few)], k=[1, 3], samples=100)
    assert curve == [found["a"]["P@1"], found["a"]["P@3"]]
    assert "P@5" in summarize({"b": RUNS}, samples=100)["b"]
    assert summarize({}) == {}


def test_what_a_summary_refuses():
    with pytest.raises(InvalidTypeError, match="methods="):
        summarize(RUNS)
    for k in ([], [1, 1]):
        with pytest.raises(InvalidValueError, match="k="):
            summarize({"a": RUNS}, k=k)
    with pytest.raises(InvalidTypeError, match="k=3"):
        summarize({"a": RUNS}, k=3)
    with pytest.raises(InvalidValueError, match="k=9"):
        summarize({"a": RUNS}, k=[9])


def test_names(tmp_path):
    path = tmp_path / "families.csv"
    path.write_text('name,family\n"a, b",2D\n\nc , 3D\n')
    assert read_names(path) == {"a, b": "2D", "c": "3D"}
    for text, match in (
        ("name,family\na\n", "line 2"),
        ("name,family\na,\n", "line 2"),
        ("name,family\na,x\na,y\n", "line 3: 'a' is there twice"),
        ("name,family\n", "at least one row"),
    ):
        path.write_text(text)
        with pytest.raises(PyattrxError, match=match):
            read_names(path)


def test_curves(tmp_path):
    path = tmp_path / "curves.csv"
    path.write_text("probes,P@2,method,P@1,seen\nindoor,0.5,saliency,.75,x\n,,rsa,1,\n")
    assert read_curves(path) == {"indoor, saliency, x": {1: 0.75, 2: 0.5}, "rsa": {1: 1.0}}
    for text, match in (
        ("method,P1\na,0.5\n", "no column P@1"),
        ("method,P@1\na,1.5\n", "line 2: a precision outside"),
        ("method,P@1\na,high\n", "line 2: 'high' is not a number"),
        ("method,P@1\na,0.5,0.6\n", "line 2: 3 cells"),
        ("method,P@1\na,0.5\na,0.6\n", "line 3: the name 'a'"),
        ("method,P@1\n,0.5\n", "line 2: the name ''"),
    ):
        path.write_text(text)
        with pytest.raises(PyattrxError, match=match):
            read_curves(path)
