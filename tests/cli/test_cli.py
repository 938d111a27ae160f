"""The command line as a user meets it: output, JSON, exit codes, interruption."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import pyattrx
from pyattrx.cli import main
from pyattrx.encoders import compiling

NETWORKS = """
import torch
def make(seed):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3))
def first():
    return make(0)
def second():
    return make(1)
class Slow(torch.nn.Module):
    def forward(self, x):
        import pathlib, time
        pathlib.Path("running").touch()
        time.sleep(0.5)
        return x.mean((2, 3))
def slow():
    return Slow()
def nothing():
    return torch.nn.Flatten()
class Ignores(torch.nn.Module):
    def forward(self, x):
        return torch.ones(len(x), 2)
def ignores():
    return Ignores()
class Explodes(torch.nn.Module):
    def forward(self, x):
        return (x * float("inf")).mean((2, 3))
def explodes():
    return Explodes()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "nets.py").write_text(NETWORKS)
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for index in range(5):
        pixels = rng.integers(0, 255, size=(40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"photo{index}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return stop.value.code or 0, captured.out, captured.err


NETS = ["nets.py:first", "nets.py:second"]


def affinity(capsys, *more, networks=NETS):
    return run(capsys, "affinity", *networks, "--probes", "photos", "--size", 32, *more)


def test_affinity_prints_tables(folder, capsys):
    code, out, _ = affinity(capsys)
    assert code == 0
    assert "Affinity, normalized_ridge, penalty=1.0, 5 probes" in out  # what is recommended
    assert "Nearest sources" in out
    assert "nets.py:second" in out


def test_affinity_as_json_is_what_python_gives(folder, capsys):
    code, out, _ = affinity(
        capsys, "--json", "--method", "saliency", "--scalar", "half_squared_norm"
    )
    assert code == 0
    printed = json.loads(out)
    method = pyattrx.Method("saliency", scalar="half_squared_norm")
    probes = pyattrx.Probes.from_folder("photos", size=32)
    result = pyattrx.affinity(NETS, probes, method)
    assert printed["names"] == NETS
    assert printed["values"] == result.values.tolist()
    assert printed["nearest"]["nets.py:first"][0]["name"] == "nets.py:second"
    assert printed["provenance"]["probes"]["hash"] == probes.hash


def test_the_effect_of_a_cheaper_precision_is_printed(folder, capsys):
    code, out, _ = affinity(
        capsys, "--device", "cpu", "--precision", "bfloat16", "--method", "elrp"
    )
    assert code == 0
    for name in NETS:
        assert f"{name}: maps in bfloat16 have cosine 0." in out


def test_compilation_is_asked_for_and_its_effect_printed(folder, capsys, monkeypatch):
    monkeypatch.setattr(compiling, "_BACKEND", "aot_eager")
    code, out, _ = affinity(capsys, "--device", "cpu", "--compile", "--method", "saliency")
    assert code == 0
    for name in NETS:
        assert f"{name}: compiled, maps have cosine 1.000000 to those of the network" in out
    monkeypatch.setattr(compiling, "_BACKEND", "no such backend")
    code, _, err = affinity(capsys, "--device", "cpu", "--compile", "--method", "saliency")
    assert code == 1
    assert f"network '{NETS[0]}' cannot be compiled" in " ".join(err.split())


def test_options_reach_the_run(folder, capsys):
    code, out, _ = affinity(
        capsys,
        *("--json", "--limit", 3, "--method", "grad_x_input", "--grid", "8x9", "--center"),
        *("--reduce", "abs_mean"),
        *("--pixels", 20, "--batch-size", 2, "--device", "cpu", "-k", 1),
    )
    assert code == 0
    printed = json.loads(out)
    assert printed["n_probes"] == 3
    provenance = printed["provenance"]
    assert provenance["batch_size"] == 2
    method = provenance["method"]
    assert (method["grid"], method["reduce"], method["center"], method["pixels"]) == (
        [8, 9],
        "abs_mean",
        True,
        20,
    )


def test_results_and_pictures_are_written(folder, capsys):
    code, out, _ = affinity(capsys, "--json", "--save", "result.npz", "--pictures", "pictures")
    assert code == 0
    printed = json.loads(out)
    assert len(printed["files"]) == 3
    assert all(os.path.getsize(path) > 0 for path in printed["files"])
    loaded = pyattrx.Affinity.load("result.npz")
    assert loaded.values.tolist() == printed["values"]


def test_zero_maps_and_bad_images_are_told(folder, capsys):
    (folder / "photos" / "bad.png").write_text("no image")
    code, out, err = affinity(capsys)
    assert code == 1
    assert "bad.png" in err
    networks = [*NETS, "nets.py:ignores"]
    code, out, _ = affinity(capsys, "--skip-bad", "--method", "saliency", networks=networks)
    assert code == 0
    assert "nets.py:ignores: 5 of 5 maps are all zero" in out
    code, out, _ = affinity(capsys, "--skip-bad", networks=networks)
    assert code == 0
    assert "nets.py:ignores: 5 of 5 probes have no say" in out
    assert "left out bad.png" in out
    assert "5 probes are few; 100 or more tell more apart." in out
    probes = pyattrx.Probes.from_folder("photos", size=32, on_error="skip")
    provenance = pyattrx.affinity(NETS, probes, method="grad_x_input").provenance
    assert len(provenance["probes"]["skipped"]) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["affinity"], 2, "Missing argument"),
        (["affinity", "nets.py:first"], 2, "--probes"),
        (["affinity", "nets.py:first", "--probes", "absent"], 2, "--probes='absent'"),
        (["affinity", "resnet18", "--probes", "photos"], 2, "timm:NAME"),
        (["affinity", "nets.py:none", "--probes", "photos"], 1, "has no 'none'"),
        (["affinity", "nets.py:first", "--probes", "photos", "--method", "best"], 2, "best"),
        (
            ["affinity", "nets.py:first", "--probes", "photos", "--grid", "8"],
            2,
            "--method saliency",
        ),
        (
            ["affinity", "nets.py:first", "--probes", "photos", "--method", "elrp", "--grid", "x"],
            2,
            "56x56",
        ),
        (["affinity", "nets.py:first", "--probes", "photos", "--save", "x.csv"], 2, "npz"),
        (["affinity", "nets.py:first", "--probes", "photos", "--save", "no/x.npz"], 2, "folder"),
        (["affinity", "nets.py:first", "--probes", "photos", "--device", "cuda:77"], 2, "device"),
        (["affinity", "nets.py:first", "--probes", "photos", "--threads", "0"], 2, "threads"),
        (["affinity", "nets.py:first", "nets.py:first", "--probes", "photos"], 2, "names"),
        (["affinity", "nets.py:explodes", "--probes", "photos"], 1, "NaN or Inf"),
        (["affinity", "nets.py:first", "--probes", "photos", "-k", "0"], 2, "k=0"),
        (
            ["affinity", "nets.py:first", "--probes", "photos", "--pictures", "nets.py"],
            2,
            "pictures='nets.py'",
        ),
        (["affinity", "absent.py:first", "--probes", "photos"], 2, "there is no absent.py"),
        (
            ["affinity", "nets.py:first?weights=absent.pt", "--probes", "photos"],
            2,
            "there is no absent.pt",
        ),
        (["affinity", "absent.pt2", "--probes", "photos"], 2, "there is no absent.pt2"),
        (
            ["affinity", "nets.py:slow", "--target", "absent.py:f", "--probes", "photos"],
            2,
            "there is no absent.py",
        ),
        (["nonsense"], 2, "nonsense"),
        (["demo", "--size", "10"], 2, "at least 64"),
    ],
)
def test_what_goes_wrong_is_said(folder, capsys, arguments, code, message):
    got, _, err = run(capsys, *arguments)
    assert got == code, err
    assert message in err
    assert "Traceback" not in err


def test_errors_as_json(folder, capsys):
    code, out, err = run(capsys, "affinity", "nets.py:none", "--probes", "photos", "--json")
    assert code == 1
    assert json.loads(out)["error"]["type"] == "EncoderError"
    assert "has no 'none'" in err


def test_wrong_arguments_are_found_before_any_work(folder, capsys):
    code, _, err = affinity(capsys, "--save", "result.txt", networks=["nets.py:slow"] * 2)
    assert code == 2
    assert "npz" in err


def test_env(capsys):
    code, out, _ = run(capsys, "env")
    assert code == 0
    assert "native" in out
    code, out, _ = run(capsys, "env", "--json")
    found = json.loads(out)
    assert found["cpu"]["ops"].startswith("native")
    optional = {"faiss", "matplotlib", "onnx2torch", "pandas", "ray", "timm", "transformers"}
    assert set(found["optional"]) == optional


@pytest.mark.parametrize("command", [[], ["env"], ["affinity"], ["demo"]])
def test_help(capsys, command):
    code, out, _ = run(capsys, *command, "--help")
    assert code == 0
    assert "Usage: pyattrx" in out


def test_interruption_is_clean(folder):
    process = subprocess.Popen(
        [sys.executable, "-m", "pyattrx", "affinity", "nets.py:slow", "--probes", "photos"]
        + ["--batch-size", "1", "--size", "32", "--scratch", "."],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        # A test run in the background may have been told to ignore interrupts, and pass that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (folder / "running").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.strip().splitlines()[-1] == "pyattrx: interrupted"
    assert "Traceback" not in err
    assert out == ""
    assert sorted(p.name for p in folder.iterdir()) == ["nets.py", "photos", "running"]


def test_the_demo_end_to_end(tmp_path, capsys, monkeypatch):
    """Two of its networks, one crop a photo; a few probes for the networks that are known."""
    from pyattrx.demo import known
    from pyattrx.demo import run as module
    from pyattrx.demo.networks import demo_networks

    few = [n for n in demo_networks() if n.name in ("efficientnet-lite0", "xfeat")]
    monkeypatch.setattr(module, "demo_networks", lambda: few)
    monkeypatch.setattr(known, "_PROBES", 4)
    out = tmp_path / "pictures"
    code, printed, _ = run(capsys, "demo", "--out", out, "--crops", 1, "--size", 64, "--json")
    assert code == 0
    result = json.loads(printed)
    assert set(result["affinities"]) == {"grad_x_input", "saliency_half_squared_norm"}
    assert result["known"]["target"] == "rgb2sfnorm"
    assert len(result["recommendation"]["standings"]) == 2
    assert len(result["known"]["predicted"]) == len(result["known"]["best"]) == 5
    assert sorted(p.name for p in out.glob("*.png")) == [
        "affinity_grad_x_input.png",
        "affinity_saliency_half_squared_norm.png",
        "gallery.png",
        "layers.png",
        "recommendation.png",
        "tree_grad_x_input.png",
        "tree_saliency_half_squared_norm.png",
        "why.png",
    ]
    code, printed, _ = run(capsys, "demo", "--out", out, "--crops", 1, "--size", 64, "--quiet")
    assert code == 0
    assert printed.startswith("Which network to start from: faces or not, 60 images, 60 labelled")
    assert len(printed.splitlines()) < 40  # one screen
    tables = (out / "tables.txt").read_text()
    assert "Nearest sources" in tables
    assert "image classification" in tables
    assert "truly best" in tables


@pytest.mark.parametrize("method", ["cka", "normalized_ridge", "depara"])
def test_affinity_by_features(folder, capsys, method):
    code, out, _ = run(
        capsys, "affinity", "nets.py:first", "nets.py:second", "--probes", "photos",
        "--size", "16", "--method", method, "--json", "--quiet", "--pictures", "drawn",
    )  # fmt: skip
    assert code == 0
    found = json.loads(out)
    encoders = [pyattrx.load(f"nets.py:{name}") for name in ("first", "second")]
    probes = pyattrx.Probes.from_folder("photos", size=16)
    expected = pyattrx.affinity(encoders, probes, method)
    assert found["values"] == expected.values.tolist()
    assert found["symmetric"] == expected.symmetric
    assert found["nearest"]["nets.py:first"][0]["name"] == "nets.py:second"
    assert len(found["files"]) == 2
    code, out, _ = run(
        capsys, "affinity", "nets.py:first", "nets.py:ignores", "--probes", "photos",
        "--size", "16", "--method", method, "--quiet",
    )  # fmt: skip
    assert code == 0
    assert "nets.py:ignores: 5 of 5 probes have no say" in out


def test_options_of_maps_do_not_go_with_features(folder, capsys):
    code, _, err = run(
        capsys, "affinity", "nets.py:first", "--probes", "photos", "--method", "rsa",
        "--scalar", "half_squared_norm",
    )  # fmt: skip
    assert code == 2
    expected = "nothing: it goes with --method saliency, grad_x_input, elrp, gradient_field, "
    assert f"scalar='half_squared_norm': expected {expected}" in err
    assert err.rstrip().endswith("not with rsa")


def test_steps_of_a_path(folder, capsys):
    given = ("affinity", "nets.py:first", "nets.py:second", "--probes", "photos", "--size", "16")
    field = (*given, "--method", "gradient_field", "--json", "--quiet", "--steps")
    code, out, _ = run(capsys, *field, "3")
    assert code == 0
    assert json.loads(out)["provenance"]["method"]["steps"] == 3
    code, out, _ = run(capsys, *field, "0")
    assert code == 2 and "steps=0" in out
    code, _, err = run(capsys, *given, "--method", "saliency", "--steps", "3")
    assert code == 2 and "'saliency' follows no path" in err
