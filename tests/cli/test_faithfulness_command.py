"""``pyattrx faithfulness`` as a user meets it."""

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
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 6, 3))
def first():
    return _made(0)
def second():
    return _made(1)
def broken():
    return nn.Linear(5, 5)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for index in range(6):
        pixels = rng.integers(0, 255, (24, 24, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{index}.png")
    return tmp_path


def called(capsys, *arguments):
    code = run(app, ["faithfulness", *arguments, "--size", "16", "--quiet"], ends=False)
    return code, *capsys.readouterr()


COMMON = ("nets.py:first", "--probes", "photos")


def test_json_and_picture(folder, capsys):
    methods = ("--method", "saliency", "--method", "elrp", "--scalar", "half_squared_norm")
    code, out, _ = called(
        capsys, "nets.py:second", *COMMON, *methods, "--fill", "0.5,0.5,.5", "--patch", "2",
        "--steps", "4", "--json", "-o", "curves.png",
    )  # fmt: skip
    found = json.loads(out)
    assert code == 0 and found["files"] == ["curves.png"] and found["failures"] == {}
    assert [(one["network"], one["method"].split(",")[0]) for one in found["results"]] == [
        (f"nets.py:{network}", method)
        for network in ("second", "first")
        for method in ("saliency", "elrp")
    ]
    for one in found["results"]:
        assert one["fill"] == [0.5] * 3 and one["patch"] == 2
        assert len(one["curves"]["scalar"]["values"]) == 5
    assert (folder / "curves.png").stat().st_size > 1000


def test_a_table(folder, capsys):
    code, out, _ = called(capsys, *COMMON)
    assert code == 0 and "grad_x_input" in out and "distance" in out and "gain" in out
    assert "6 probes are few" in out


def test_what_fails_is_left_out_and_named(folder, capsys):
    code, out, err = called(capsys, "nets.py:broken", *COMMON, "--json")
    found = json.loads(out)
    assert code == 1 and [one["network"] for one in found["results"]] == ["nets.py:first"]
    assert list(found["failures"]) == ["nets.py:broken"] and "1 of 2 networks failed" in err


def test_nothing_is_left(folder, capsys):
    code, _, err = called(capsys, "nets.py:broken", "--probes", "photos")
    assert code == 1 and "the only network failed" in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((*COMMON, "--fill", "noise"), "--fill"),
        ((*COMMON, "--fill", "1,1"), "--fill"),
        ((*COMMON, "--fill", "1,1,2"), "--fill"),
        ((*COMMON, "--fill", "1,1,1.1.1"), "three numbers"),
        ((*COMMON, "--order", "random"), "--order"),
        ((*COMMON, "--patch", "17"), "--patch"),
        ((*COMMON, "--steps", "0"), "--steps"),
        ((*COMMON, "--method", "cka"), "compares features"),
        ((*COMMON, "--method", "saliency", "--method", "saliency"), "different methods"),
        ((*COMMON, "--reduce", "none"), "reduce"),
        ((*COMMON, "--scalar", "max"), "--scalar"),
        ((*COMMON, "-o", "curves.gif"), "--out"),
        ((*COMMON, "--batch-size", "0"), "--batch-size"),
        (("nets.py:first", *COMMON), "different names"),
        (("nets.py:first", "--probes", "nowhere"), "--probes"),
        (("no.py:first", *COMMON[1:]), "no.py"),
    ],
)
def test_wrong_arguments(folder, capsys, arguments, named):
    code, _, err = called(capsys, *arguments)
    assert code == 2 and named in err
