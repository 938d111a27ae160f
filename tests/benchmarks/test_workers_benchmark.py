"""The benchmark of workers runs, and compares what they find."""

import importlib
import json

import pytest

from pyattrx import cli
from pyattrx.cli.bench import load_benchmarks


@pytest.fixture
def module(monkeypatch, tmp_path):
    module = importlib.import_module(f"{load_benchmarks().__package__}.workers")
    path = tmp_path / "nets.py"
    path.write_text(
        "import torch\n"
        "def made(seed):\n"
        "    torch.manual_seed(seed)\n"
        "    return lambda: torch.nn.Conv2d(3, 2, 3)\n"
        "for seed in range(12): globals()[f'n{seed}'] = made(seed)\n"
    )
    monkeypatch.setattr(
        module, "_networks", lambda folder, count: [f"{path}:n{seed}" for seed in range(count)]
    )
    return module


def test_it_measures(module, tmp_path):
    out = tmp_path / "workers.json"
    with pytest.raises(SystemExit) as stop:
        cli.main(["bench", "workers", "--quick", "--rounds", "1", "-q", "--out", str(out)])
    assert not stop.value.code
    (case,) = json.loads(out.read_text())["cases"]
    assert set(case["candidates"]) == {"this process", "1 worker", "2 workers"}
    assert all(one["ms"] > 0 and one["error"] == 0 for one in case["candidates"].values())
    one, two = (case["candidates"][name]["ms"] for name in ("1 worker", "2 workers"))
    assert case["speedup_of_two"] == pytest.approx(one / two)


def test_other_affinities_are_an_error(module, monkeypatch, tmp_path):
    added = module._added

    def wrong(specifications, probes, workers, threads):
        seconds, values = added(specifications, probes, None, threads)
        return seconds, values + (workers == 2)

    monkeypatch.setattr(module, "_added", wrong)
    with pytest.raises(AssertionError, match="2 workers: affinities are off by 1"):
        cli.main(["bench", "workers", "--quick", "--rounds", "1", "-q"])
