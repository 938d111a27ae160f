"""The benchmarks run, their files have the promised fields, and the other commands read them.

Times of these tiny cases say nothing and nothing is asserted about them.
"""

import importlib
import json
import os
import subprocess
import sys
from unittest.mock import patch

import numpy as np
import pytest
import torch

import pyattrx
from pyattrx import cli, ops
from pyattrx.affinities import networks as whole_run
from pyattrx.cli.bench import load_benchmarks
from pyattrx.encoders import compiling
from pyattrx.running import description, feeding

pytestmark = pytest.mark.skipif(
    not ops.backends()["cpu"].startswith("native"), reason="no compiled kernels to measure"
)


def bench(*arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(["bench", *(str(a) for a in arguments)])
    return stop.value.code or 0


def part(name):
    """A module of the benchmarks, wherever they are."""
    return importlib.import_module(f"{load_benchmarks().__package__}.{name}")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "ops.json"
    assert bench("ops", "--quick", "--rounds", 2, "--quiet", "--out", path) == 0
    return path


def test_help_names_the_commands(capsys):
    assert bench("--help") == 0
    out = capsys.readouterr().out
    assert all(
        name in out
        for name in ("ops", "pipeline", "gpu", "all", "compare", "plot", "pyattrx bench")
    )


def test_unknown_arguments(capsys):
    assert bench("ops", "--rounds", "0") == 2
    assert "Invalid value for '--rounds'" in capsys.readouterr().err
    assert bench("all", "--networks", "1") == 2
    assert "Invalid value for '--networks'" in capsys.readouterr().err
    assert bench("everything") == 2
    assert "No such command 'everything'" in capsys.readouterr().err
    assert bench("transfer", "--json") == 2
    assert "run `python -m studies transfer` in the sources" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help(capsys, flag):
    names = [command.name for command in part("cli").app.registered_commands]
    assert len(names) >= 8
    for name in names:
        assert bench(name, flag) == 0
        assert f"Usage: pyattrx bench {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("--seeds 0 1 2", "--seeds 0 --seeds 1 --seeds 2"),
        ("all --seeds 0 1 --jobs 2 --sources a", "all --seeds 0 --seeds 1 --jobs 2 --sources a"),
        ("--seeds 0 --seeds 1", "--seeds 0 --seeds 1"),
        ("--seeds -1 -q 5", "--seeds -1 -q 5"),  # the value of a list, whatever it looks like
        ("--jobs 2 all", "--jobs 2 all"),
        ("--seeds 0 1 -- --seeds 0 1", "--seeds 0 --seeds 1 -- --seeds 0 1"),
        ("--seeds", "--seeds"),
        ("--seeds=0 all", "--seeds=0 all"),
    ],
)
def test_list_options_take_several_values(given, read):
    lists = {"--seeds", "--sources"}
    assert part("options")._repeated(given.split(), lists) == read.split()


def test_the_benchmarks_are_a_program_of_their_own(tmp_path):
    package = load_benchmarks().__package__
    done = subprocess.run(
        [sys.executable, "-m", package, "plot", "-h"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout.startswith("Usage: pyattrx bench plot")


def test_ops_measures_every_candidate(measured):
    document = json.loads(measured.read_text())
    assert document["benchmark"] == "ops"
    assert document["settings"]["quick"]
    assert set(document["machine"]["ceilings"]) == {"read_gb_per_s", "fp64_gmultiply_adds_per_s"}
    assert {"cpu", "ops", "torch_isa", "compiler", "torch", "threads"} <= set(document["machine"])
    expected = {
        "attribution_maps 2x3x32x32": {"eager", "numpy loop"},
        "cosine_affinity 4x2x1024": {"normalize+matmul", "bmm+diagonal", "numpy loop"},
        "cosine_affinity 64x2x1024": {
            "normalize+matmul",
            "bmm+diagonal",
            "blocked bmm",
            "numpy loop",
        },
        "fused_affinity 3x2x3x32x32": {"pyattrx, two parts", "eager", "numpy loop"},
        "sketch 4x1024": {"index_add", "numpy add.at"},
    }
    cases = {case["name"]: case for case in document["cases"]}
    assert {name: set(case["candidates"]) - {"pyattrx"} for name, case in cases.items()} == expected
    swept = [case for sweep in document["sweeps"].values() for case in sweep]
    assert set(document["sweeps"]) == {"m", "d"}
    for case in [*cases.values(), *swept]:
        assert case["rounds"] == 2
        assert next(iter(case["candidates"])) == "pyattrx"
        assert case["candidates"]["pyattrx"]["ratio"] == 1
        assert case["candidates"]["pyattrx"]["error"] <= case["error_limit"]
        assert all(name.startswith("torch.compile") for name in case["left_out"]) or case in swept
        assert case["bound"] in ("memory", "arithmetic")
        assert case["floor_ms"] > 0
        assert case["fraction_of_floor"] > 0
        for candidate in case["candidates"].values():
            assert candidate["ms"] > 0
            assert candidate["error"] < 1e-5 or case["op"] == "sketch"
            assert "peak_memory_bytes" in candidate
    work = cases["cosine_affinity 4x2x1024"]
    assert work["bytes"] == 4 * 2 * 1024 * 4 + 4 * 4 * 8
    assert work["multiply_adds"] == 2 * (4 * 5 // 2) * 1024


def test_ops_checks_ours(monkeypatch, tmp_path):
    monkeypatch.setattr(
        ops, "attribution_maps", lambda grad, image: (grad + image).mean(1).flatten(1)
    )
    with pytest.raises(AssertionError, match="attribution_maps 2x3x32x32: pyattrx is off by"):
        cli.main(["bench", "ops", "--quick", "-q", "--out", str(tmp_path / "ops.json")])
    assert list(tmp_path.iterdir()) == []


def test_candidates_that_cannot_take_part_are_named():
    found = part("cases").Candidates(None, None, lambda line: None)

    def broken(*arguments):
        raise RuntimeError("no compiler\nat all")

    found.compiled("broken", broken)
    found.looped("slow", broken, lambda: 3600.0)
    assert found.runs == {}
    assert found.left_out["torch.compile: broken"] == "RuntimeError: no compiler"
    assert found.left_out["slow"] == "about 3600 s a round"


def test_rivals_compute_the_same():
    rivals = part("rivals")
    maps = torch.randn(65, 2, 50, generator=torch.Generator().manual_seed(0))
    exact = ops.cosine_affinity(maps)
    for rival in (rivals.normalize_matmul, rivals.bmm_diagonal, rivals.blocked_bmm):
        torch.testing.assert_close(rival(maps).double(), exact, rtol=0, atol=1e-5)


def test_json_goes_to_standard_output_and_into_the_file(tmp_path, capsys):
    path = tmp_path / "new" / "pipeline.json"
    assert bench("pipeline", "--quick", "--quiet", "--json", "--out", path) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads(path.read_text())
    assert printed.err == ""
    document = json.loads(printed.out)
    ways = {
        "pyattrx",
        "plain loop",
        "frozen loop",
        "channels_last loop",
        "passes of the copies alone",
        "the look alone",
    }
    assert set(document["cases"][0]["candidates"]) == ways
    assert set(document["seconds"]) == ways
    assert bench("compare", path, path) == 0
    assert bench("plot", path) == 2
    assert "expected results of `pyattrx bench ops`, `gpu` or `zoo`" in capsys.readouterr().err


def test_default_place_of_results(tmp_path, monkeypatch):
    results = part("results")
    monkeypatch.setattr(results, "_FOLDER", tmp_path / "benchmarks")
    assert str(results.results_path("ops")) == "pyattrx-bench-ops.json"
    (tmp_path / "pyproject.toml").touch()  # as in the sources
    assert results.results_path("ops") == tmp_path / "benchmarks" / "results" / "ops.json"
    assert str(results.results_path("ops", quick=True)) == "pyattrx-bench-ops-quick.json"


def test_a_quick_run_does_not_replace_results(tmp_path, monkeypatch):
    results = part("results")
    monkeypatch.setattr(results, "_FOLDER", tmp_path / "benchmarks")
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    document = {"benchmark": "ops", "settings": {"quick": True}}
    written = results.write_results(document, None)
    assert written.resolve().parent == tmp_path


def test_compare(measured, tmp_path, capsys):
    document = json.loads(measured.read_text())
    document["machine"]["cpu"] = "another"
    document["settings"]["threads"] = 7
    candidates = document["cases"][0]["candidates"]
    candidates["pyattrx"]["ms"] *= 2
    candidates["newcomer"] = candidates.pop("eager")
    other = tmp_path / "other.json"
    other.write_text(json.dumps(document))

    assert bench("compare", measured, other, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["machine"]["cpu"][1] == "another"
    assert found["settings"] == {"threads": [1, 7]}
    name = "attribution_maps 2x3x32x32"
    rows = {(row["case"], row["candidate"]): row for row in found["rows"]}
    assert rows[name, "pyattrx"]["b_over_a"] == pytest.approx(2)
    assert found["only_in_a"] == [[name, "eager"]]
    assert found["only_in_b"] == [[name, "newcomer"]]

    assert bench("compare", measured, other) == 0
    out = capsys.readouterr().out
    assert "settings differs in threads: 1 and 7" in out
    assert f"only in B: {name}, newcomer" in out


@pytest.mark.parametrize(
    "text", [None, "no JSON", "[]", '{"benchmark": "ops", "machine": {}, "settings": {}}', "\xff"]
)
def test_files_that_are_something_else(text, measured, tmp_path, capsys):
    wrong = tmp_path / "wrong.json"
    if text is not None:
        wrong.write_text(text, encoding="latin-1")
    for arguments in (("compare", measured, wrong), ("plot", wrong)):
        assert bench(*arguments, "--json") == 2
        error = json.loads(capsys.readouterr().out)["error"]
        assert error["type"] == "InvalidValueError"
        assert str(wrong) in error["message"]
        assert "expected a JSON file written by `pyattrx bench ops`" in error["message"]


def test_plot_writes_pictures(measured, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert bench("plot", measured, "--out", tmp_path / "pictures", "--json") == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert [file.rpartition("/")[2] for file in files] == ["ops-ratios.png", "ops-roofline.png"]
    for file in files:
        with open(file, "rb") as picture:
            assert picture.read(8) == b"\x89PNG\r\n\x1a\n"


def test_gpu_needs_a_device(capsys):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert bench("gpu", "--json") == 1
    assert "needs a CUDA device" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert bench("gpu", "--part", "nothing", "--json") == 2
    assert "part='nothing'" in json.loads(capsys.readouterr().out)["error"]["message"]


@pytest.mark.parametrize(("wanted", "measured"), [("pass", {"pass"}), ("ops", {"cases"})])
def test_gpu_parts(monkeypatch, wanted, measured):
    gpu = part("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "require_native", lambda backend: None)
    monkeypatch.setattr(gpu, "_gpu", lambda: None)
    monkeypatch.setattr(gpu, "measure_pass", lambda *_, **__: "of all")
    monkeypatch.setattr(
        gpu, "measure_all", lambda name, listed, *_: {"cases": len(listed)} if listed else {}
    )
    assert (
        set(gpu.run(part("measure").Settings(quick=True), lambda line: None, [wanted])) == measured
    )


def test_the_whole_run_of_the_gpu_works(monkeypatch, capsys):
    # On the CPU, with tiny networks, and without generating code.
    def tiny(seed):
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())

    gpu_pass, tables = part("gpu_pass"), part("tables")
    monkeypatch.setattr(compiling, "_BACKEND", "aot_eager")
    monkeypatch.setattr(gpu_pass, "resnet18", tiny)
    found = gpu_pass.measure_pass(torch.device("cpu"), lambda line: None, quick=True)
    names = [name for name in gpu_pass.VARIANTS if not name.startswith("tf32")]
    assert list(found["variants"]) == names
    assert set(found["left_out"]) == {"tf32", "tf32 compiled"}
    exact = found["variants"]["float32 without overlap"]
    assert exact["difference"] == 0
    assert exact["images_per_second"] > 0
    assert set(found["variants"]["bfloat16 compiled"]["least_cosines"]) == {"precision", "compile"}
    tables._show_pass(tables.console(), found)
    assert "without tf32: CUDA only" in capsys.readouterr().out
    nothing = gpu_pass.measure_pass(torch.device("cpu"), lambda line: None, quick=True, seconds=-1)
    assert nothing["variants"] == {}


def test_without_overlap_nothing_else_is_different():
    gpu_pass = part("gpu_pass")
    probes = pyattrx.Probes.from_tensor(torch.rand(5, 3, 4, 4))
    place = torch.device("cuda")
    log = []

    class Loader:
        ahead = 1

        def __init__(self, *its):
            assert its == (probes, place)

        def load(self, chosen):
            log.append(f"load {len(chosen)}")
            return chosen

        def hand_over(self, loaded):
            log.append("hand over")
            return loaded

    def run():
        for _ in feeding.feed(probes, place, 3, np.arange(5)):
            log.append("use")
        with whole_run.beside(lambda: log.append("beside"), place) as known:
            log.append("passes")
        known()
        return description.lag(place)

    with (
        patch.object(feeding, "_loader", Loader),
        patch.object(gpu_pass, "_wait", lambda device: log.append(f"wait for {device}")),
        gpu_pass._overlap(False),
    ):
        assert run() == 0
    each = ["hand over", "wait for cuda", "use"]
    assert log == ["load 3", *each, "load 2", *each, "passes", "beside"]
    assert description.lag(place) == 1


@pytest.mark.parametrize("compiled", [False, True])
def test_passes_are_those_of_all_probes(monkeypatch, compiled):
    gpu_pass = part("gpu_pass")
    monkeypatch.setattr(compiling, "_BACKEND", "aot_eager")
    monkeypatch.setattr(gpu_pass, "_timed", lambda run, device: (6.0, run()))
    encoder = pyattrx.Encoder(torch.nn.Conv2d(3, 4, 3), name="net")
    probes = pyattrx.Probes.from_tensor(torch.rand(5, 3, 8, 8))
    seconds = gpu_pass._pass_seconds(encoder, probes, torch.device("cpu"), 3, "float32", compiled)
    assert seconds == (6.0 if compiled else 5.0)  # of two batches of three


@pytest.mark.gpu
def test_gpu_quick(tmp_path):
    path = tmp_path / "gpu.json"
    assert bench("gpu", "--quick", "--rounds", 2, "--quiet", "--out", path) == 0
    document = json.loads(path.read_text())
    assert set(document["machine"]["ceilings"]) == {"copy_gb_per_s"}
    assert {case["op"] for case in document["cases"]} >= {
        "attribution_maps",
        "cosine_affinity",
        "fused_affinity",
        "sketch",
    }


def test_installation_without_benchmarks(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert bench("ops", "--json") == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "MissingDependencyError"
    assert "pyattrx.benchmarks" in error["message"]
