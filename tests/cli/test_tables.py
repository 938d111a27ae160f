"""Tables in little space: nothing is wider than the terminal, and no number is cut."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import pyattrx
from pyattrx._names import FEWEST, shortened
from pyattrx.cli.output import affinity_table, nearest_table
from pyattrx.statistics import Match

NAME = st.text("abcdefghijkl:.-_0123456789", min_size=1, max_size=60)
NAMES = st.lists(NAME, min_size=2, max_size=18, unique=True)


def made(names, seed=0):
    rng = np.random.default_rng(seed)
    m = len(names)
    cosines = rng.uniform(-1, 1, size=(7, m, m))
    values = cosines.mean(0)
    return pyattrx.Affinity(names, values, np.abs(values) / 9, False, np.arange(7), cosines)


def drawn(table, width):
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, markup=False, emoji=False).print(table)
    return out.getvalue()


@settings(max_examples=60, deadline=None)
@given(NAMES, st.integers(24, 220))
def test_a_matrix_has_every_number_or_is_not_drawn(names, width):
    result = made(names)
    out = drawn(affinity_table(result, "Affinity", width), width)
    assert all(len(line) <= width for line in out.splitlines())
    if "networks" in out:
        assert "--save or --json" in " ".join(out.split())
        return
    for i in range(len(names)):
        for j in range(len(names)):
            if i != j:
                assert f"{result.values[i, j]:.3f}" in out
                assert f"±{result.stderr[i, j]:.3f}" in out


@settings(max_examples=60, deadline=None)
@given(NAMES, st.integers(40, 220))
def test_rankings_have_every_number(names, width):
    result = made(names)
    rankings = [(name, result.nearest(name, 3)) for name in names]
    out = drawn(nearest_table(rankings, "Nearest sources", width=width), width)
    assert all(len(line) <= width for line in out.splitlines())
    for _, matches in rankings:
        for match in matches:
            assert f"{match.affinity:.3f}" in out
            assert f"{match.low:.3f} .. {match.high:.3f}" in " ".join(out.split())


@given(st.lists(NAME, min_size=1, max_size=30), st.integers(1, 60))
def test_shortened_names_differ_as_names_do(names, width):
    found = shortened(names, width)
    if found is None:
        assert any(len(name) > width for name in names)
        return
    for name, short in zip(names, found, strict=True):
        assert len(short) <= width
        head, mark, tail = short.partition("…")
        assert short == name or (mark and name.startswith(head) and name.endswith(tail))
    assert len(set(found)) == len(set(names))


def test_how_names_are_shortened():
    assert shortened(["abcdefghijklmnop", "x"], 9) == ["abcd…mnop", "x"]
    # What tells names apart stays.
    assert shortened(["bb" + "a" * 20, "bc" + "a" * 20, "dd" + "a" * 20], 9)[1].startswith("bc")
    names = ["a" * 20 + "b" + "a" * 6, "a" * 20 + "c" + "a" * 6]
    assert shortened(names, 9) == ["a…baaaaaa", "a…caaaaaa"]
    assert shortened(["a" * 40 + "b" + "a" * 40, "a" * 40 + "c" + "a" * 40], 20) is None
    assert shortened(["long name here"], FEWEST - 1) is None


@pytest.mark.parametrize(
    ("width", "says"),
    [
        (160, "timm:network_number_3"),  # whole
        (100, "timm:n…mber_3"),  # shortened over the columns
        (70, "4 timm:network_number_3"),  # numbered
    ],
)
def test_what_gives_way_first(width, says):
    result = made([f"timm:network_number_{i}" for i in range(4)])
    out = drawn(affinity_table(result, "Affinity", width), width)
    assert says in out
    assert f"{result.values[0, 3]:.3f}" in out


def test_a_ranking_without_space_is_a_list():
    matches = [
        Match("source_with_a_long_name_a", 0.5, 0.1, 0.25, 0.75, ("other", "not_here")),
        Match("other", -0.125, 0.1, -0.375, 0.125),
    ]
    out = drawn(nearest_table([("target", matches)], "Nearest", width=60), 60)
    assert "target:" in out
    assert "1 source_with_a_long_name_a 0.500 (0.250 .. 0.750)" in out
    assert "cannot be told apart from 2 and 1 more" in " ".join(out.split())
    assert "2 other -0.125 (-0.375 .. 0.125)" in out
