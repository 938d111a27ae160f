"""Files of pictures: whole or absent, the same every time, and none of the user's settings."""

import os
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pyattrx.errors import InvalidTypeError, InvalidValueError, MissingDependencyError
from pyattrx.report import gallery, heatmap, tree_figure
from pyattrx.tree import build_tree

NAMES = ["plain", "a<b & \"c\" 'd'", "$m_ath$", "ctrl\x00\x1b\u2028name"]
SHOWN = ["plain", "a<b & \"c\" 'd'", "$m_ath$", "ctrl   name"]
VALUES = np.array(
    [[1, 0.2, 0.3, 0.4], [0.2, 1, 0.5, 0.6], [0.3, 0.5, 1, -0.7], [0.4, 0.6, -0.7, 1]]
)


def draw_heatmap(path):
    return heatmap(VALUES, NAMES, stderr=VALUES**2 / 10, title="Affinity", path=path)


def draw_tree(path):
    return tree_figure(build_tree(VALUES, NAMES), title="Tree", path=path)


def draw_gallery(path):
    rng = np.random.default_rng(0)
    photos, maps = rng.random((2, 3, 8, 8)), rng.normal(size=(4, 2, 8, 8))
    return gallery(photos, maps, NAMES, photo_names=["one", "two"], title="Maps", path=path)


PICTURES = pytest.mark.parametrize("draw", [draw_heatmap, draw_tree, draw_gallery])


@PICTURES
def test_svg_is_xml_with_the_names_in_it(draw, tmp_path):
    draw(tmp_path / "picture.svg")
    root = ElementTree.parse(tmp_path / "picture.svg").getroot()
    assert root.tag.endswith("svg")
    texts = ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("text")]
    for name in SHOWN:
        # XML folds runs of blanks; a reader sees the same name.
        assert " ".join(name.split()) in [" ".join(text.split()) for text in texts]


@PICTURES
def test_png_has_the_size_of_the_figure(draw, tmp_path):
    figure = draw(tmp_path / "picture.PNG")
    with Image.open(tmp_path / "picture.PNG") as image:
        image.load()
        assert image.format == "PNG"
        expected = figure.get_size_inches() * figure.get_dpi()
        np.testing.assert_allclose(image.size, expected, atol=1)
        assert len(image.convert("RGB").getcolors(1 << 24)) > 3


@PICTURES
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_same_bytes_whatever_the_settings(draw, suffix, tmp_path):
    draw(tmp_path / f"first.{suffix}")
    settings = {"font.size": 30, "svg.fonttype": "path", "axes.facecolor": "red", "figure.dpi": 50}
    with mpl.rc_context(settings):
        draw(str(tmp_path / f"second.{suffix}"))
        assert {key: mpl.rcParams[key] for key in settings} == settings
    first, second = (tmp_path / f"{name}.{suffix}" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    assert b"Matplotlib v" not in first.read_bytes()


@PICTURES
def test_folders_are_made_and_old_pictures_replaced(draw, tmp_path):
    path = tmp_path / "a" / "b" / "picture.svg"
    draw(path)
    whole = path.read_bytes()
    path.write_bytes(b"old")
    draw(path)
    assert path.read_bytes() == whole
    assert os.listdir(path.parent) == ["picture.svg"]
    if os.name == "posix":
        plain = path.with_name("plain")
        plain.touch()
        assert path.stat().st_mode == plain.stat().st_mode


@PICTURES
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_picture(draw, error, tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")

    def fails(self, file, **options):
        file.write(b"half")
        raise error("disk full")

    monkeypatch.setattr(Figure, "savefig", fails)
    with pytest.raises(error, match="disk full"):
        draw(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["picture.png"]


@PICTURES
@pytest.mark.parametrize("name", ["picture.pdf", "picture", "picture.png.gz", ""])
def test_other_suffixes_are_refused_before_anything_is_made(draw, name, tmp_path):
    path = os.path.join(tmp_path, "new", name) if name else name
    with pytest.raises(InvalidValueError, match=r"path=.*\.png or \.svg"):
        draw(path)
    assert os.listdir(tmp_path) == []


@PICTURES
def test_path_of_another_type(draw):
    with pytest.raises(InvalidTypeError, match=r"path=b'x\.png'"):
        draw(b"x.png")


@PICTURES
def test_without_matplotlib(draw, monkeypatch, tmp_path):
    for module in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"'matplotlib'.*pip install pyattrx\[plot\]"):
        draw(tmp_path / "picture.png")
    assert os.listdir(tmp_path) == []


def test_matplotlib_comes_with_the_first_picture_and_pyplot_never():
    code = """
import sys
import pyattrx.report
assert "matplotlib" not in sys.modules
pyattrx.report.heatmap([[1.0, 0.5], [0.5, 1.0]], ["a", "b"])
assert "matplotlib" in sys.modules
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
