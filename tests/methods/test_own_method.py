"""The method of docs/methods.md, as a user would write it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pyattrx
from pyattrx.errors import UntrustedError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "methods.md"
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="not in the sources")


@pytest.fixture
def near(tmp_path, monkeypatch):
    """The module of the page, importable."""
    code = next(
        b for b in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if "class" in b
    )
    (tmp_path / "near.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "near", raising=False)
    import near

    yield near
    sys.modules.pop("near", None)


def networks():
    made = []
    for seed in range(3):
        torch.manual_seed(seed)
        body = [torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2)]
        made.append(pyattrx.Encoder(torch.nn.Sequential(*body), name=f"net{seed}"))
    return made


def test_it_compares(near, probes):
    found = pyattrx.affinity(networks(), probes, near.Procrustes())
    assert np.allclose(np.diag(found.values), 1)
    assert found.symmetric
    np.testing.assert_allclose(found.values, found.values.T, atol=1e-12)
    assert np.isfinite(found.stderr[0, 1]) and found.stderr[0, 1] > 0
    assert found.provenance["method_name"] == "procrustes"
    assert found.provenance["method"] == {"kind": "near:Procrustes"}
    by_name = pyattrx.affinity(networks(), probes, "near:Procrustes")
    np.testing.assert_array_equal(by_name.values, found.values)


def test_a_zoo_is_ranked_by_it(near, probes, tmp_path):
    with pyattrx.Zoo.create(tmp_path / "zoo", probes, rerank=near.Procrustes()) as zoo:
        zoo.add_many(networks())
        ranked = zoo.query("net0")
    expected = pyattrx.affinity(networks(), probes, near.Procrustes()).nearest("net0")
    assert [one.name for one in ranked] == [one.name for one in expected]
    np.testing.assert_allclose([one.affinity for one in ranked], [m.affinity for m in expected])
    with pyattrx.Zoo.open(tmp_path / "zoo") as zoo:  # only what re-ranks imports it
        assert zoo.names == ["net0", "net1", "net2"]
        assert zoo.verify().ok
        assert len(zoo.query("net0", rerank=False)) == 2
        with pytest.raises(UntrustedError, match="would import near:Procrustes"):
            zoo.query("net0")
    with pyattrx.Zoo.open(tmp_path / "zoo", trust=True) as zoo:
        assert zoo.rerank == near.Procrustes()


def test_the_shell_finds_it_in_the_current_folder(near, tmp_path):
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "a.png")
    for seed in range(4):
        noise = np.random.default_rng(seed).integers(0, 255, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{seed}.png")
    (tmp_path / "nets.py").write_text(
        "from torch import nn\nimport torch\n"
        "def one():\n    torch.manual_seed(1); return nn.Conv2d(3, 4, 3)\n"
        "def two():\n    torch.manual_seed(2); return nn.Conv2d(3, 4, 3)\n"
    )
    command = [sys.executable, "-m", "pyattrx", "affinity", "nets.py:one", "nets.py:two"]
    command += ["--probes", ".", "--size", "16", "--method", "near:Procrustes", "--json"]
    environment = {key: v for key, v in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [*command[:1], "-P", *command[1:]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["provenance"]["method_name"] == "procrustes"


def test_a_method_that_is_none_is_refused(near):
    with pytest.raises(pyattrx.errors.InvalidValueError, match="method='near:np'"):
        pyattrx.methods.get("near:np")
    with pytest.raises(pyattrx.errors.InvalidValueError, match="module:name that imports"):
        pyattrx.methods.get("near:Nothing")
