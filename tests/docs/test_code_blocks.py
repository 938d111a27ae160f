"""The Python of every page runs: in page order, in one namespace, over small stand-ins.

A page speaks of things that its reader has: networks, folders of photos, tables. `given` has them,
by the names that pages use. A block after the comment ``<!-- not run: REASON -->`` is left out, and
one that is introduced as a file (```near.py`:``) is written to it.
"""

import re
import sys
import types
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import pyattrx
from pyattrx import scores

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?P<before>[^\n]*)\n+```python\n(?P<code>.*?)^```$", re.S | re.M)
WITH_CODE = [page for page in PAGES if page.is_file() and BLOCK.search(page.read_text())]

pytestmark = pytest.mark.skipif(not WITH_CODE, reason="not in the sources")


class Network(nn.Module):
    """Small, with layers that are called as in a ResNet; its name decides its weights."""

    def __init__(self, name="network"):
        super().__init__()
        torch.manual_seed(zlib.crc32(name.encode()))
        self.conv1 = nn.Conv2d(3, 6, 4, 4)
        self.layer3 = nn.Conv2d(6, 8, 3, 2, 1)
        self.avgpool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        return self.avgpool(self.layer3(self.conv1(x).relu()).relu()).flatten(1)


def fake_timm():
    timm = types.ModuleType("timm")
    timm.create_model = lambda name, pretrained, num_classes: Network(name)
    timm.get_pretrained_cfg = lambda name: None
    config = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "input_size": (3, 32, 32)}
    timm.data = types.SimpleNamespace(resolve_model_data_config=lambda module: config)
    return timm


def photos(folder, count, shift=0):
    """Write photos of noise, darker with a larger shift; return their paths."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(shift)
    paths = [folder / f"{index:02}.png" for index in range(count)]
    for path in paths:
        values = random.integers(0, 255 - shift, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(values).resize((200, 200)).save(path)
    return paths


@pytest.fixture
def given(tmp_path, monkeypatch):
    """What a reader has, and a folder with a reader's files as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYATTRX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "timm", fake_timm())
    paths = photos(Path("my_images/cats"), 10) + photos(Path("my_images/dogs"), 10, 90)
    labels = ["cat"] * 10 + ["dog"] * 10
    photos(Path("photos"), 16)
    source = Path(__file__).read_text()
    network = source[source.index("class Network") : source.index("def fake_timm")]
    code = f"import zlib, torch\nfrom torch import nn\n\n{network}\n\nnetwork = Network\n"
    for name in ("my.py", "my_models.py"):
        Path(name).write_text(code)
    frame = pd.DataFrame({"path": [str(path) for path in paths], "label": labels})
    frame.to_csv("table.csv", index=False)
    names = ["r18", "vit", "timm:convnext_tiny"]
    pd.DataFrame(np.arange(9.0).reshape(3, 3), names, names).to_csv("transfers.csv")
    encoders = [pyattrx.Encoder(Network(name), name=name) for name in ("a", "b", "c", "d")]
    values = np.random.default_rng(0).uniform(0.5, 0.9, (4, 2)).round(3)
    accuracies = pd.DataFrame(values, [one.name for one in encoders], ["pets", "cars"])
    accuracies.to_csv("accuracies.csv", index_label="model")
    folder = Path("FOLDER/transfers/residual-seed0")
    folder.mkdir(parents=True)
    np.savez(folder / "losses.npz", losses=np.ones((2, 3, 3, 4)), targets="ab", sources="abc")
    task = pyattrx.Task.from_folder("my_images/")
    probes = pyattrx.Probes.from_folder("photos/", size=64, limit=12)
    pairs = list(zip(torch.rand(20, 3, 32, 32), [0, 1] * 10, strict=True))
    return {
        "pyattrx": pyattrx,
        "task": task,
        "tasks": {"pets": task, "cars": task.subsample(16)},
        "probes": probes,
        "more_probes": pyattrx.Probes.from_folder("photos/", size=64, limit=16),
        "encoders": encoders,
        "my_encoder": pyattrx.Encoder(Network("mine"), name="mine"),
        "new_encoder": pyattrx.Encoder(Network("new"), name="new"),
        "source": pyattrx.Encoder(Network("source"), name="source"),
        "target": pyattrx.Encoder(Network("target"), name="target"),
        "my_resnet": Network("resnet"),
        "my_vit": Network("vit"),
        "frame": frame,
        "paths": paths,
        "images": [np.asarray(Image.open(path)) for path in paths],
        "labels": labels,
        "torchvision": types.SimpleNamespace(
            datasets=types.SimpleNamespace(OxfordIIITPet=lambda root, download: pairs)
        ),
        "datasets": types.SimpleNamespace(load_dataset=lambda name, split: pairs),
    }


def features_of_scores():
    """What docs/scores.md speaks of; there `labels` are of the features."""
    random = np.random.default_rng(1)
    labels = np.arange(40) % 2
    return {
        "scores": scores,
        "features": {name: random.normal(size=(40, 6)) + labels[:, None] for name in "ab"},
        "labels": labels,
        "photos": np.arange(40),
        "maps": random.integers(0, 2, (12, 4, 4)),
    }


def blocks(page):
    """Yield the line before a block, its code and its place, but for what is not to be run."""
    text = page.read_text()
    for found in BLOCK.finditer(text):
        if not re.fullmatch(r"<!-- not run: .+ -->", found["before"].strip()):
            yield found["before"], found["code"], text[: found.start("code")].count("\n")


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_run(page, given, monkeypatch):
    names = {**given, "__name__": "page"}
    if page.name == "scores.md":
        names |= features_of_scores()
    for before, code, line in blocks(page):
        file = re.search(r"`(\w+)\.py`:$", before)
        if file:
            Path(f"{file[1]}.py").write_text(code)
            monkeypatch.delitem(sys.modules, file[1], raising=False)
        if page.name == "scores.md" and "dense" in code:  # features are maps there
            names["features"] = np.random.default_rng(2).normal(size=(12, 5, 4, 4))
        # Empty lines before it: a traceback has the page's line.
        exec(compile("\n" * line + code, str(page), "exec"), names)
    for value in names.values():
        if isinstance(value, pyattrx.Zoo):
            value.close()


def test_what_is_left_out_has_a_reason(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "Text:\n\n```python\none\n```\n\n<!-- not run: takes a day -->\n```python\ntwo\n```\n\n"
        "<!-- not run: -->\n```python\nthree\n```\n"
    )
    assert [code for _, code, _ in blocks(page)] == ["one\n", "three\n"]
