"""Sentences in the width of a terminal: nothing is lost, no word is cut."""

import os

from hypothesis import given
from hypothesis import strategies as st

from pyattrx._wrapping import wrapped

WORDS = st.lists(
    st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1), min_size=1
)


@given(WORDS, st.integers(10, 120))
def test_words_are_whole_and_lines_fit(words, width):
    lines = wrapped(" ".join(words), width).split("\n")
    assert " ".join(lines).split() == words
    for line in lines:
        assert len(line) <= width or len(line.split()) == 1
    assert all(line.startswith("  ") for line in lines[1:])


def test_the_width_is_the_terminals_or_80(monkeypatch):
    text = "word " * 60
    monkeypatch.setenv("COLUMNS", "40")
    assert max(map(len, wrapped(text).split("\n"))) in range(35, 41)
    monkeypatch.setattr("shutil.get_terminal_size", os.terminal_size)
    assert max(map(len, wrapped(text).split("\n"))) in range(75, 81)
