"""``pyattrx recommend`` and ``pyattrx cache`` from outside."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyattrx.cli import main

NETWORKS = """
import torch
from torch import nn


class Channels(nn.Module):
    def __init__(self, channel):
        super().__init__()
        self.register_buffer("weight", torch.eye(3)[[channel]])

    def forward(self, x):
        small = nn.functional.adaptive_avg_pool2d(x, 2)
        seen = torch.einsum("kc,nchw->nkhw", self.weight, small)
        return torch.cat([seen, torch.ones_like(seen)], 1)


def red():
    return Channels(0)


def green():
    return Channels(1)


def blue():
    return Channels(2)


def broken():
    raise RuntimeError("no weights here")
"""


@pytest.fixture
def place(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "mine.py").write_text(NETWORKS)
    lines = ["path,label"]
    for index in range(24):
        name = ("dull", "bright")[index % 2]
        levels = rng.integers(0, 256, 3)
        levels[0] = 60 + 120 * (index % 2) + rng.integers(0, 20)
        file = tmp_path / "images" / name / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 16), tuple(int(v) for v in levels)).save(file)
        lines.append(f"images/{name}/{index}.png,{name}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def call(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setenv("PYATTRX_CACHE", str(place / "cache"))

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        captured = capsys.readouterr()
        return Done(stop.value.code or 0, captured.out, captured.err)

    return call


ALL = ("mine.py:red", "mine.py:green", "mine.py:blue")


def test_a_folder(call):
    done = call("recommend", "images", *ALL, "--size", "16", "--save", "out.npz")
    assert done.returncode == 0, done.stderr
    table = [line for line in done.stdout.splitlines() if line[:1].isdigit()]
    assert table[0].startswith("1   mine.py:red")
    assert "wrote out.npz" in done.stdout
    again = call("recommend", "images", *ALL, "--size", "16", "--json")
    document = json.loads(again.stdout)
    assert document["standings"][0]["name"] == "mine.py:red"
    assert set(document["provenance"]["images_computed"].values()) == {0}


def test_an_interruption_says_what_is_kept(call, place):
    (place / "mine.py").write_text(NETWORKS + "\n\ndef stopped():\n    raise KeyboardInterrupt\n")
    done = call("recommend", "images", "mine.py:red", "mine.py:stopped", "--size", "16")
    assert done.returncode == 130
    assert "features that are ready are kept" in done.stderr
    again = call("recommend", "images", *ALL, "--size", "16", "--json")
    computed = json.loads(again.stdout)["provenance"]["images_computed"]
    assert computed == {"mine.py:red": 0, "mine.py:green": 24, "mine.py:blue": 24}
    done = call("recommend", "images", "mine.py:stopped", "--size", "16", "--no-cache")
    assert done.returncode == 130
    assert "kept" not in done.stderr


def test_a_table_without_its_labels_and_csv(call):
    done = call("recommend", "labels.csv", *ALL, "--size", "16", "--csv", "--no-cache")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["place"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["name"] == "mine.py:red"
    assert not Path("cache").exists()
    done = call("recommend", "images", *ALL, "--size", "16", "--unlabelled", "--json")
    assert json.loads(done.stdout)["situation"] == "consensus"


def test_a_candidate_that_fails(call):
    done = call("recommend", "images", "mine.py:broken", *ALL, "--size", "16", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert "no weights here" in document["failures"]["mine.py:broken"]
    assert len(document["standings"]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", *ALL), "nowhere"),
        (("images",), "SPEC=[]: expected at least one network, or --zoo"),
        (("images", "nofile.py:f", *ALL), "SPEC='nofile.py:f'"),
        (("images", *ALL, "--target", "nofile.py:f"), "there is no nofile.py"),
        (("images", "--zoo", "nowhere"), "zoo='nowhere'"),
        (("images", *ALL, "--save", "out.txt"), "save='out.txt'"),
        (("images", *ALL, "--json", "--csv"), "--json or --csv"),
        (("images", *ALL, "--label", "x"), "label=['x']"),
        (("images", *ALL, "--score", "nothing"), "--score='nothing'"),
        (("images", "mine.py:red", "mine.py:red"), "different names"),
    ],
)
def test_wrong_arguments(call, arguments, message):
    done = call("recommend", *arguments, "--size", "16")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("cache").exists()  # nothing has run


def test_the_cache(call):
    call("recommend", "images", *ALL, "--size", "16")
    found = json.loads(call("cache", "info", "--json").stdout)
    assert {one["name"] for one in found["networks"]} == set(ALL)
    assert "3 networks" in call("cache", "info").stdout
    assert json.loads(call("cache", "clear", "--json").stdout)["freed_bytes"] > 0
    assert json.loads(call("cache", "info", "--json").stdout)["networks"] == []


def test_a_cache_that_cannot_be_written_is_said_once_and_plainly(call, place):
    (place / "file").write_text("in the way")
    done = call("recommend", "images", *ALL, "--size", "16", "--cache", "file")
    assert done.returncode == 0
    assert done.stderr.count("pyattrx: warning: features cannot be kept in file") == 1
    assert "reading.py" not in done.stderr


def test_whole_numbers_with_a_point_need_a_kind(call, place):
    rows = (place / "labels.csv").read_text().replace(",dull", ",1.0").replace(",bright", ",2.0")
    (place / "numbers.csv").write_text(rows)
    done = call("recommend", "numbers.csv", *ALL, "--size", "16")
    assert done.returncode == 2
    assert "--kind" in done.stderr
    for kind, said in (("classification", "2 classes"), ("regression", "24 labelled")):
        done = call("recommend", "numbers.csv", *ALL, "--size", "16", "--kind", kind)
        assert done.returncode == 0
        assert said in done.stdout


def test_what_is_wrong_with_an_image_is_told_with_the_option(call, place):
    (place / "images" / "dull" / "bad.png").write_bytes(b"no image")
    done = call("recommend", "images", *ALL, "--size", "16")
    assert done.returncode == 1
    assert "--skip-bad" in done.stderr
    done = call("recommend", "images", *ALL, "--size", "16", "--skip-bad")
    assert done.returncode == 0
    assert "dull/bad.png" in done.stdout
