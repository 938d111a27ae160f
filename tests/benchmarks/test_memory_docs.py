"""What the docs say of memory is what was measured, and the benchmark runs."""

import importlib
import json
import re
from pathlib import Path

import pytest

from pyattrx.cli.bench import load_benchmarks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "conventions.md"
RESULTS = ROOT / "benchmarks" / "results" / "memory.json"
COUNTS = (100, 1000, 4000)


@pytest.fixture(scope="module")
def cases():
    if not (PAGE.is_file() and RESULTS.is_file()):
        pytest.skip("no docs, or no results, here")
    found = json.loads(RESULTS.read_text())["cases"]
    return {(case["method"], case["probes"]): case for case in found}


def test_the_table_is_of_the_results(cases):
    def shown(method, count):
        case = cases.get((method, count))
        if case is None:
            return "-"
        return f"{case['resident'] / 2**20:.0f} ({case['anonymous'] / 2**20:.0f})"

    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(), re.M)
    methods = list(dict.fromkeys(method for method, _ in cases))
    expected = [(method, *(shown(method, count) for count in COUNTS)) for method in methods]
    assert rows == expected


def test_maps_are_bounded_and_features_are_not(cases):
    """What the text beside the table says."""
    bound = (128 + 64 + 64) << 20  # rows, a block of them, and cosines
    assert all(cases["saliency", count]["anonymous"] < bound for count in COUNTS)
    assert cases["recommended", 4000]["anonymous"] > 2 * cases["recommended", 1000]["anonymous"]


def test_one_case():
    memory = importlib.import_module(f"{load_benchmarks().__package__}.memory")
    (case,) = memory.measure([("recommended", 20)])["cases"]
    assert (case["method"], case["probes"]) == ("recommended", 20)
    assert 0 < case["resident"] < 1 << 30
    assert 0 < case["anonymous"] <= case["resident"] + (8 << 20)
