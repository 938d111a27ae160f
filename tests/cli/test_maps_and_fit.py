"""``pyattrx maps`` and ``pyattrx fit`` as a user meets them."""

import json

import numpy as np
import pytest
import torch
from cli.test_cli import folder, run  # noqa: F401
from PIL import Image

import pyattrx
from pyattrx import report
from pyattrx.methods import AttributionMaps

DRAW = ("--size", 16, "--device", "cpu")


@pytest.fixture
def drawn(monkeypatch):
    """What is given to the gallery, by name of file."""
    pytest.importorskip("matplotlib")
    seen = {}
    gallery = report.gallery

    def spied(photos, maps, names, *, path, **more):
        seen[path.name] = (photos, maps, names)
        return gallery(photos, maps, names, path=path, **more)

    monkeypatch.setattr(report, "gallery", spied)
    return seen


def test_maps_are_drawn(folder, capsys, drawn):  # noqa: F811
    code, out, _ = run(
        capsys, "maps", "nets.py:first", "photos/photo0.png", "photos/photo3.png", "--out", "maps",
        "--method", "saliency", *DRAW,
    )  # fmt: skip
    assert code == 0
    assert out.splitlines() == ["wrote maps/photo0.png", "wrote maps/photo3.png"]
    for name in ("photo0.png", "photo3.png"):
        assert (folder / "maps" / name).read_bytes().startswith(b"\x89PNG")
        photo, maps, names = drawn[name]
        assert names == ["nets.py:first"]
        descriptor = AttributionMaps(pyattrx.Method("saliency"), (16, 16))
        images = torch.as_tensor(photo)
        with pyattrx.load("nets.py:first").prepare(torch.device("cpu"), images) as prepared:
            expected = descriptor.rows(prepared, images).view(1, 1, 16, 16)
        assert np.allclose(maps, expected.numpy(), rtol=1e-5, atol=1e-8)


def test_maps_as_json(folder, capsys, drawn):  # noqa: F811
    (folder / "other").mkdir()
    Image.new("RGB", (30, 30), "red").save(folder / "other" / "photo0.jpg")
    images = ["photos/photo0.png", "other/photo0.jpg"]
    code, out, _ = run(capsys, "maps", "nets.py:ignores", *images, "--out", "m", "--json", *DRAW)
    assert code == 0
    found = json.loads(out)
    assert found["files"] == ["m/photo0.png", "m/photo0-2.png"]
    assert found["images"] == images
    assert found["zero_maps"] == images
    assert found["method"] == "grad_x_input"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nets.py:first", "photos/none.png"], 2, "IMAGE='photos/none.png': expected an existing"),
        (["nets.py:first", "nets.py"], 1, "nets.py: "),
        (["nets.py:none", "photos/photo0.png"], 1, "has no 'none'"),
        (["nets.py:explodes", "photos/photo0.png"], 1, "NaN or Inf"),
        (["nets.py:first", "photos/photo0.png", "--reduce", "none"], 2, "one map an image"),
        (["nets.py:first", "photos/photo0.png", "--method", "cka"], 2, "'cka'"),
        (["nets.py:first"], 2, "IMAGE"),
    ],
)
def test_maps_that_cannot_be_drawn(folder, capsys, arguments, code, message):  # noqa: F811
    found, _, err = run(capsys, "maps", *arguments, "--out", "maps", *DRAW)
    assert found == code
    assert message in " ".join(err.split())
    assert not list(folder.glob("maps/*"))


@pytest.fixture
def classes(folder):  # noqa: F811
    """Bright and dark images, by folder and by table."""
    rng = np.random.default_rng(0)
    lines = ["path,bright,patient"]
    for index in range(30):
        kind = ("dark", "bright")[index % 2]
        pixels = rng.integers(0, 80, (24, 24, 3)) + 150 * (index % 2)
        path = folder / "data" / kind / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        lines.append(f"data/{kind}/{index}.png,{index % 2 + index / 100},p{index // 2}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder


FIT = ("--steps", 5, "--size", 24, "--input-size", 16, "--device", "cpu", "--quiet")


def test_what_is_fitted_is_a_specification(classes, capsys):
    code, out, _ = run(capsys, "fit", "data", "--save", "t.safetensors", *FIT)
    assert code == 0
    assert "data: classification, 24 images learnt from" in out
    assert "wrote t.safetensors" in out
    expected = pyattrx.fit_target(
        pyattrx.Task.from_folder("data", 24), steps=5, input_size=16, device="cpu"
    )
    found = pyattrx.load("t.safetensors")
    assert found.report == expected.report
    assert found.weights_hash() == expected.weights_hash()
    code, out, _ = run(
        capsys, "affinity", "nets.py:first", "nets.py:second", "--target", "t.safetensors",
        "--probes", "photos", "--size", 16, "--device", "cpu", "--json",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["target"] == "data"
    run(capsys, "zoo", "create", "z", "--probes", "photos", "--size", 16)
    code, out, _ = run(capsys, "zoo", "add", "z", "t.safetensors", "nets.py:first")
    assert code == 0
    assert "added data" in out


def test_fit_by_a_table(classes, capsys):
    code, out, err = run(
        capsys, "fit", "table.csv", "--label", "bright", "--groups", "patient", "--name", "light",
        "--save", "t.safetensors", "--json", *FIT,
    )  # fmt: skip
    assert code == 0
    found = json.loads(out)
    assert found["name"] == "light"
    assert found["report"]["task"] == "regression"
    assert found["files"] == ["t.safetensors"]
    weak = not found["report"]["beats_trivial"]
    assert weak == ("pyattrx: warning: 'light': the encoder is not clearly better" in err)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["data", "--save", "t.pt"], 2, "ends in .safetensors"),
        (["data", "--save", "no/t.safetensors"], 2, "existing folder"),
        (["data"], 2, "--save"),
        (["nothing", "--save", "t.safetensors"], 2, "DATA='nothing': expected an existing folder"),
        (["data", "--label", "x", "--save", "t.safetensors"], 2, "label=['x']: expected a table"),
        (["table.csv", "--save", "t.safetensors"], 2, "label"),
        (["data", "--save", "t.safetensors", "--steps", "0"], 2, "steps=0"),
    ],
)
def test_what_cannot_be_fitted(classes, capsys, arguments, code, message):
    found, _, err = run(capsys, "fit", *arguments)
    assert found == code, err
    assert message in " ".join(err.split())
    assert not (classes / "t.safetensors").exists()
