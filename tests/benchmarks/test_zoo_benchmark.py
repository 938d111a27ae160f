"""The benchmark of zoos on tiny ones: what it measures is there and is right."""

import json

import pytest

from pyattrx.benchmarks import zoo
from pyattrx.benchmarks.measure import Settings
from pyattrx.cli import main
from pyattrx.errors import InvalidValueError


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(zoo, "SIDE", 8)
    monkeypatch.setattr(zoo, "PROBES", 32)
    monkeypatch.setattr(zoo, "MEMBERS", 10)
    measure_rows = zoo._measure_rows
    monkeypatch.setattr(zoo, "_measure_rows", lambda path, _n, say: measure_rows(path, 60, say))


def silent(_line):
    pass


def test_what_it_says_is_right(small):
    found = zoo.run(Settings(False, 1, None), silent, (60, 90))
    for case, n in zip(found["cases"], (60, 90), strict=True):
        assert (case["n"], case["kind"], case["queries"]) == (n, "flat", n)
        # Compared one by one here, so it cannot miss any.
        assert case["recall_at_1"] == case["recall_at_5"] == 1
        assert 0 < case["p50_ms"] <= case["p99_ms"]
        assert case["disk_bytes"] > n * 8192
    assert found["rows"]["recall_at_5"] == 1
    assert found["rows"]["recall_at_5_by_sketches"] > 0.5
    json.dumps(found, allow_nan=False)


def test_other_sizes_are_kept(small, tmp_path, capsys):
    out = str(tmp_path / "zoo.json")
    for arguments in (["--sizes", "60"], ["--sizes", "50", "--keep"], ["--sizes", "60", "--keep"]):
        with pytest.raises(SystemExit) as ended:
            main(["bench", "zoo", "--quiet", "--json", "--out", out, *arguments])
        assert ended.value.code in (0, None)
    found = json.loads((tmp_path / "zoo.json").read_text())
    assert [case["n"] for case in found["cases"]] == [50, 60]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["bench", "plot", out])
    assert (tmp_path / "zoo.png").stat().st_size > 10_000
    found["machine"]["cpu"] = "another"
    with pytest.raises(InvalidValueError, match="another"):
        zoo.run(Settings(False, 1, None), silent, (50,), found)


def test_made_up_families_are_what_they_say():
    (block,) = zoo.sketches(200)
    cosines = block @ block.T
    assert abs(cosines.diagonal().mean() - 1) < 0.02
    nearest = (cosines - 2 * (cosines > 0.995)).max(1)
    assert nearest.mean() > 0.7
