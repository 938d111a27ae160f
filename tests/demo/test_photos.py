"""Photos come from the scikit-image wheel, decoded by Pillow."""

import sys
from importlib.machinery import ModuleSpec, PathFinder

import numpy as np
import pytest

from pyattrx.demo.photos import demo_faces, demo_photos
from pyattrx.errors import MissingDependencyError, ProbeError


def test_photos_are_rgb_and_of_useful_size():
    photos = demo_photos()
    assert len({photo.name for photo in photos}) == len(photos) >= 8
    for photo in photos:
        assert photo.image.dtype == np.uint8
        assert photo.image.ndim == 3
        assert photo.image.shape[2] == 3
        assert min(photo.image.shape[:2]) >= 256
        assert photo.image.std() > 10


def test_channels_are_red_green_blue():
    astronaut = next(photo.image for photo in demo_photos() if photo.name == "astronaut")
    red, green, blue = astronaut[300:400, 100:200].mean((0, 1))  # the orange suit
    assert red > green > blue


def test_nothing_is_imported(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "skimage"]:
        monkeypatch.delitem(sys.modules, name)
    demo_photos()
    assert "skimage" not in sys.modules


def test_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(PathFinder, "find_spec", lambda *args: None)
    with pytest.raises(
        MissingDependencyError, match=r'scikit-image.*pip install "pyattrx\[demo\]"'
    ):
        demo_photos()


@pytest.mark.parametrize("content", [None, b"", b"\x89PNG\r\n\x1a\n cut short"])
def test_missing_or_broken_photo_is_named(content, monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    if content is not None:
        (tmp_path / "data" / "astronaut.png").write_bytes(content)
    spec = ModuleSpec("skimage", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(PathFinder, "find_spec", lambda *args: spec)
    with pytest.raises(ProbeError, match=r"astronaut\.png"):
        demo_photos()


def test_faces_and_other_pictures():
    images, labels = demo_faces(100)
    assert images.shape == (200, 25, 25, 3)
    assert images.dtype == np.uint8
    assert images.std() > 20
    assert np.array_equal(images[..., 0], images[..., 2])
    assert labels == ["face"] * 100 + ["no face"] * 100
    # Faces are alike: what is bright in one is bright in most. Some other pictures are one grey.
    faces, others = (part[..., 0].reshape(100, -1).astype(float) for part in np.split(images, 2))
    others = others[others.std(1) > 0]
    assert np.corrcoef(faces).mean() > np.corrcoef(others).mean()
