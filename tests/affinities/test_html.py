"""An affinity in a notebook."""

from html.parser import HTMLParser

import numpy as np
import pytest

import pyattrx


class Table(HTMLParser):
    """Rows of cells, and lines below them; closing tags must be those that were opened."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.lines, self._open = [], [], []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
        elif tag == "p":
            self.lines.append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open[-1] in ("th", "td"):
            self.rows[-1][-1] += data
        else:
            self.lines[-1] += data


def make(names, groups=5, **more):
    count = len(names)
    values = np.random.default_rng(0).uniform(-1, 1, (count, count))
    stderr = np.full((count, count), 0.0125 if groups > 1 else np.nan)
    return pyattrx.Affinity(list(names), values, stderr, False, np.arange(groups), **more)


def test_a_matrix():
    names = ["a", "<script>alert()</script>", "c & d", "e" * 300]
    result = make(names, failures={"<b>": "it & that"})
    table = Table(result._repr_html_())
    assert table.rows[0] == ["", *names]
    for i, row in enumerate(table.rows[1:]):
        values = [f"{value:.3f} ± 0.013" for value in result.values[i]]
        values[i] = "-"
        assert row == [names[i], *values]
    assert table.lines == [repr(result), "Rows are targets, columns sources.",
                           "<b> failed: it & that"]  # fmt: skip
    assert "<script>" not in result._repr_html_()


def test_one_group_has_no_errors():
    result = make(["a", "b"], groups=1)
    assert Table(result._repr_html_()).rows[1] == ["a", "-", f"{result.values[0, 1]:.3f}"]


@pytest.mark.parametrize(("count", "matrix"), [(16, True), (17, False), (120, False)])
def test_many_networks(count, matrix):
    result = make([f"<n{i}>" for i in range(count)])
    table = Table(result._repr_html_())
    assert (len(table.rows[0]) == count + 1) == matrix
    if matrix:
        return
    assert len(table.rows) == 1 + min(count, 100)
    for name, *cells in table.rows[1:]:
        expected = [f"{m.name} {m.affinity:.3f} ± 0.013" for m in result.nearest(name, k=3)]
        assert cells == expected
    assert ("20 more targets are not shown." in table.lines) == (count == 120)
