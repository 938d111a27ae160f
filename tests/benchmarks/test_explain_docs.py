"""What the docs say of the cost of `explain` is what was measured, and the benchmark runs."""

import importlib
import json
import re
from pathlib import Path

import pytest

from pyattrx.cli.bench import load_benchmarks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explain.md"
RESULTS = ROOT / "benchmarks" / "results" / "explain.json"


@pytest.fixture(scope="module")
def found():
    if not (PAGE.is_file() and RESULTS.is_file()):
        pytest.skip("no docs, or no results, here")
    return json.loads(RESULTS.read_text())


def test_the_table_is_of_the_results(found):
    rows = re.findall(
        r"^\| `(\w+)` \| (\d+) \| (\S+) \| (\S+) \| (\d+) \|$", PAGE.read_text(), re.M
    )
    expected = [
        (
            one["layer"],
            str(one["channels"]),
            f"{1e3 * one['explain']:.0f}",
            f"{one['explain'] / found['pass']:.1f}",
            f"{1e3 * one['channel'] * one['channels']:.0f}",
        )
        for one in found["layers"]
    ]
    assert rows == expected
    assert f"{1e3 * found['pass']:.0f} ms" in PAGE.read_text()
    assert found["machine"]["cpu"] in PAGE.read_text()


def test_what_layers_cost_is_that_of_the_results(found):
    ratio = found["taps"]["layers"] / found["taps"]["output"]
    text = " ".join((ROOT / "docs" / "layers.md").read_text().split())
    assert f"took {ratio:.2f} times the CPU time" in text
    assert ratio <= 1.3  # of a committed measurement


def test_at_most_four_passes_a_probe(found):
    """A committed measurement, not one made here."""
    assert all(one["explain"] <= 4 * found["pass"] for one in found["layers"])


def test_one_small_measurement():
    explain = importlib.import_module(f"{load_benchmarks().__package__}.explain")
    found = explain.measure(size=32, fewer=2, more=3, repeats=1, channels=2)
    assert [one["layer"] for one in found["layers"]] == list(explain.LAYERS)
    assert [one["channels"] for one in found["layers"]] == [64, 128, 512]
    assert min(found["taps"].values()) > 0
