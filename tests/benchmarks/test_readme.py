"""The answer that README.md shows is that of a committed run of the demo."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README, RESULT = ROOT / "README.md", ROOT / "benchmarks" / "results" / "demo.json"

pytestmark = pytest.mark.skipif(not RESULT.is_file(), reason="not in the sources")


def test_every_candidate_with_its_numbers():
    standings = json.loads(RESULT.read_text())["recommendation"]["standings"]
    shown = [line.split() for line in README.read_text().splitlines() if " to " in line]
    rows = {cells[1]: cells for cells in shown if len(cells) > 8 and cells[3:5] and "to" in cells}
    assert len(standings) == 7
    for one in standings:
        cells = rows[one["name"]]
        assert cells[0].rstrip("=") == str(one["place"])
        assert cells[2:6] == [
            f"{one['value']:.3f}", f"{one['low']:.3f}", "to", f"{one['high']:.3f}",
        ]  # fmt: skip
        assert cells[6] == f"{one['facts']['accuracy']:.3f}"
        assert cells[7:9] == [str(one["places"]["knn"]), str(one["places"]["consensus"])]
        assert cells[9] == f"{one['costs']['milliseconds']:.3g}"
