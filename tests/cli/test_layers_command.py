"""``pyattrx layers`` as a user meets it."""

import json

import numpy as np
import pytest
from PIL import Image

from pyattrx.cli import app, run

NETS = """
import torch
from torch import nn
def _made(seed):
    torch.manual_seed(seed)
    block = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3), nn.Tanh())
    return nn.Sequential(block(3, 4), block(4, 6))
def source():
    return _made(0)
def target():
    return _made(1)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    rng = np.random.default_rng(0)
    for index in range(12):
        place = tmp_path / "photos" / ("red" if index % 2 else "blue")
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (24, 24, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"{index}.png")
    return tmp_path


def called(capsys, *arguments):
    code = run(app, ["layers", *arguments, "--size", "16", "--quiet"], ends=False)
    return code, *capsys.readouterr()


COMMON = ("nets.py:source", "--target", "nets.py:target", "--probes", "photos")


def test_json_and_picture(folder, capsys):
    code, out, _ = called(capsys, *COMMON, "--json", "-o", "layers.png", "--method", "cka")
    found = json.loads(out)
    assert code == 0 and [one["name"] for one in found["layers"]] == ["0", "1"]
    assert found["best"] in ("0", "1") and found["files"] == ["layers.png"]
    assert (folder / "layers.png").stat().st_size > 1000


def test_a_table(folder, capsys):
    code, out, _ = called(capsys, *COMMON, "--at", "1")
    assert code == 0 and "best" in out and "6 x 12 x 12" in out


def test_labels(folder, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    code, out, _ = called(capsys, "nets.py:source", "--labels", "photos", "--json")
    assert code == 0 and "linear probe" in json.loads(out)["score"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("nets.py:source", "--probes", "photos"), "--target, --labels"),
        ((*COMMON, "--labels", "photos"), "--target, --labels"),
        (("nets.py:source", "--target", "nets.py:target"), "--probes"),
        (("nets.py:source", "--labels", "photos", "--probes", "photos"), "--probes"),
        ((*COMMON, "-o", "layers.gif"), "--out"),
        ((*COMMON, "-o", "nowhere/layers.png"), "an existing folder"),
        ((*COMMON, "--at", "nowhere"), "nowhere"),
        ((*COMMON, "--method", "nothing"), "method"),
        (("no.py:source", *COMMON[1:]), "no.py"),
    ],
)
def test_wrong_arguments(folder, capsys, arguments, named):
    code, _, err = called(capsys, *arguments)
    assert code == 2 and named in err
