"""The costs in docs/scores.md are those of the committed results, and the benchmark runs."""

import importlib
import json
import re
from pathlib import Path

import pytest

from pyattrx import cli, scores
from pyattrx.cli.bench import load_benchmarks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "scores.md"
RESULTS = ROOT / "benchmarks" / "results" / "scores.json"


@pytest.fixture(scope="module")
def found():
    if not (PAGE.is_file() and RESULTS.is_file()):
        pytest.skip("no docs, or no results, here")
    return json.loads(RESULTS.read_text())


def shown(case):
    """Seconds, and MiB beyond the input, as the table has them."""
    seconds, peak = case["seconds"], case["candidates"]["pyattrx"]["peak_memory_bytes"]
    return f"{seconds:.2f}" if seconds < 0.1 else f"{seconds:.1f}", f"{peak / 2**20:.0f}"


def test_seconds_and_memory(found):
    cases = {case["name"]: shown(case) for case in found["cases"]}
    expected = {name: list(cases[name]) for name in scores.SCORES}
    more = cases["linear_probe, separable"]
    expected["linear_probe"] = [
        f"{own} ({other})" for own, other in zip(expected["linear_probe"], more, strict=True)
    ]
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(), re.M)
    assert {name: list(costs) for name, *costs in rows} == expected


def test_what_was_measured(found):
    text = " ".join(PAGE.read_text().split())
    shape = found["cases"][0]["shape"]
    assert not found["settings"]["quick"]
    assert found["settings"]["threads"] == 1 and "on one thread" in text
    assert f"{found['machine']['cpu']}" in text
    images = f"{shape['images']:,}".replace(",", " ")
    assert f"{images} images, {shape['features']} features in float32" in text
    assert (
        f"({found['cases'][0]['input_bytes'] / 1e6:.0f} MB) and {shape['classes']} classes" in text
    )
    assert f"{shape['source_classes']} probabilities" in text
    for case in found["cases"]:
        assert case["candidates"]["pyattrx"]["error"] <= case["error_limit"], case["name"]
        assert case["rounds"] == 3


def test_scores_are_measured(tmp_path):
    path = tmp_path / "scores.json"
    with pytest.raises(SystemExit) as stop:
        cli.main(["bench", "scores", "--quick", "--rounds", "1", "-q", "--out", str(path)])
    assert not stop.value.code
    document = json.loads(path.read_text())
    assert document["benchmark"] == "scores" and document["settings"]["quick"]
    assert {case["score"] for case in document["cases"]} == set(scores.SCORES)
    for case in document["cases"]:
        ours = case["candidates"]["pyattrx"]
        assert ours["ms"] > 0 and 0 <= ours["error"] <= case["error_limit"]
        low, high = scores.SCORES[case["score"]].bounds
        assert low <= case["value"] <= high and case["rounds"] == 1


def test_a_wrong_score_is_not_measured(monkeypatch, tmp_path):
    module = importlib.import_module(f"{load_benchmarks().__package__}.scores")
    needs, options, oracle, limit = module.ORACLES["linear_probe"]
    wrong = (needs, options, lambda *given: oracle(*given) + 2 * limit, limit)
    monkeypatch.setitem(module.ORACLES, "linear_probe", wrong)
    with pytest.raises(AssertionError, match="linear_probe is off by"):
        cli.main(["bench", "scores", "--quick", "-q", "--out", str(tmp_path / "scores.json")])
    assert list(tmp_path.iterdir()) == []
