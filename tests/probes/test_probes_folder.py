"""Folders of photos: which files, in which order, and what happens to those that are damaged."""

import hashlib
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyattrx.errors import InvalidTypeError, InvalidValueError, ProbeError
from pyattrx.probes import Probes, Skipped

NAMES = ("a.png", "b.png", "c.png", "d.png", "e.png", "f.png")


def save(path, shade=0, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(shade).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def make_folder(folder, names=NAMES):
    for name in names:
        # The content goes with the name, so that an order is a hash.
        save(folder / name, int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big"))
    return folder


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "photos")


def test_the_order_is_that_of_a_published_rule(folder):
    probes = Probes.from_folder(folder, size=8)
    assert probes.names == ("b.png", "d.png", "a.png", "c.png", "f.png", "e.png")
    ranks = {n: hashlib.sha256(b"0\0file\0" + n.encode()).digest() for n in NAMES}
    assert list(probes.names) == sorted(NAMES, key=ranks.__getitem__)


def test_the_order_depends_on_the_seed(folder):
    orders = {Probes.from_folder(folder, size=8, seed=seed).names for seed in range(5)}
    assert len(orders) == 5
    assert {frozenset(order) for order in orders} == {frozenset(NAMES)}


def test_neither_place_nor_age_nor_threads_matter(tmp_path, folder):
    other = make_folder(tmp_path / "else" / "where", reversed(NAMES))
    first = Probes.from_folder(folder, size=8, crops=3)
    for workers in (1, 2, 7):
        again = Probes.from_folder(str(other), size=8, crops=3, workers=workers)
        assert (again.hash, again.names) == (first.hash, first.names)


def test_accents_are_the_same_however_they_are_written(tmp_path):
    names = [f"caf\u00e9{index}.png" for index in range(8)]
    apart = [name.replace("\u00e9", "e\u0301") for name in names]
    for kind, written in (("one", names), ("two", apart)):
        for index, name in enumerate(written):
            save(tmp_path / kind / name, index)
    one = Probes.from_folder(tmp_path / "one", size=8, crops=2)
    two = Probes.from_folder(tmp_path / "two", size=8, crops=2)
    assert one.hash == two.hash


@pytest.mark.parametrize("crops", [1, 3])
@pytest.mark.parametrize("groups", ["photo", None, lambda path: str(path.stem in "abc")])
def test_a_limit_is_a_prefix(folder, crops, groups):
    whole = Probes.from_folder(folder, size=8, crops=crops, groups=groups)
    assert len(whole) == 6 * crops
    for limit in (1, 2, 4, 6 * crops):
        part = Probes.from_folder(folder, size=8, crops=crops, groups=groups, limit=limit)
        assert len(part) == limit
        assert part.names == whole.names[:limit]
        assert part.hash == whole.head(limit).hash
    more = Probes.from_folder(folder, size=8, crops=crops, groups=groups, limit=1000)
    assert more.hash == whole.hash


def test_crops_of_a_photo_are_a_group(folder):
    probes = Probes.from_folder(folder, size=8, crops=3)
    assert probes.groups.tolist() == [g for g in range(6) for _ in range(3)]
    assert probes.names[:4] == ("b.png#0", "b.png#1", "b.png#2", "d.png#0")
    assert len({Probes.from_tensor(image[None]).hash for image in probes}) == 18


def test_without_groups_every_crop_stands_alone(folder):
    assert Probes.from_folder(folder, size=8, crops=2, groups=None).n_groups == 12


def test_groups_of_ones_own_come_in_one_piece_and_in_random_order(tmp_path):
    names = [f"{place}/{index}.png" for place in "pqrstu" for index in range(3)]
    make_folder(tmp_path, names)
    orders = set()
    for seed in range(4):
        probes = Probes.from_folder(
            tmp_path, size=8, seed=seed, crops=2, groups=lambda path: path.parent
        )
        assert probes.groups.tolist() == [g for g in range(6) for _ in range(6)]
        places = [name[0] for name in probes.names]
        assert [places[6 * g : 6 * g + 6] for g in range(6)] == [[p] * 6 for p in places[::6]]
        orders.add(tuple(places[::6]))
    assert len(orders) == 4


def test_a_group_has_to_be_a_plain_value(folder):
    with pytest.raises(InvalidTypeError, match=r"groups\('a.png'\)=1\.5"):
        Probes.from_folder(folder, groups=lambda path: 1.5)


def test_which_files_are_read(tmp_path):
    photos = tmp_path / "photos"
    make_folder(photos, ["top.PNG", "in/side.jpeg", "in/deep/er.tif"])
    make_folder(photos, [".hidden.png", ".cache/thumb.png", "in/._side.jpg"])
    (photos / "notes.txt").write_text("not an image")
    (photos / "folder.jpg").mkdir()
    make_folder(tmp_path / "other", ["far.png"])
    (photos / "link").symlink_to(tmp_path / "other")
    (photos / "linked.png").symlink_to(tmp_path / "other" / "far.png")

    probes = Probes.from_folder(photos, size=8)
    assert sorted(probes.names) == ["in/deep/er.tif", "in/side.jpeg", "linked.png", "top.PNG"]
    flat = Probes.from_folder(photos, size=8, recursive=False)
    assert sorted(flat.names) == ["linked.png", "top.PNG"]
    source = probes.describe()["source"]
    assert (source["image_files"], source["other_files"]) == (4, 1)


def damage(folder, names=("b.png", "d.png", "f.png")):
    """Damage three of the six, the first two in order among them."""
    Image.effect_noise((64, 64), 80).save(folder / "whole.jpg")
    half = (folder / "whole.jpg").read_bytes()[:1000]
    (folder / "whole.jpg").unlink()
    contents = {"b.png": half, "d.png": b"", "f.png": b"just some text"}
    for name in names:
        (folder / name).write_bytes(contents[name])
    return set(names)


def test_damaged_files_are_named_and_left_out(folder):
    bad = damage(folder)
    probes = Probes.from_folder(folder, size=8, on_error="skip")
    assert len(probes) == 3
    assert {skipped.path for skipped in probes.skipped} == bad
    reasons = {skipped.path: skipped.reason for skipped in probes.skipped}
    assert "truncated" in reasons["b.png"]
    assert "not an image" in reasons["f.png"]
    assert "empty" in reasons["d.png"]
    described = json.loads(json.dumps(probes.describe()))
    assert {entry["path"] for entry in described["skipped"]} == bad


@pytest.mark.parametrize("limit", [1, 2, 3, 9])
def test_damaged_files_are_replaced_by_the_next(folder, limit):
    damage(folder)
    probes = Probes.from_folder(folder, size=8, limit=limit, on_error="skip")
    assert len(probes) == min(limit, 3)


@pytest.mark.parametrize(
    ("name", "reason"), [("b.png", "truncated"), ("f.png", "not an image"), ("d.png", "empty")]
)
def test_damaged_files_are_errors_that_name_them(folder, name, reason):
    damage(folder, [name])
    with pytest.raises(ProbeError, match=rf"photos/{name}: .*{reason}.*on_error='skip'"):
        Probes.from_folder(folder, size=8)


def test_a_damaged_file_after_the_limit_is_no_error(folder):
    (folder / "e.png").write_bytes(b"the last in order")
    assert len(Probes.from_folder(folder, size=8, limit=5)) == 5
    with pytest.raises(ProbeError, match=r"e\.png"):
        Probes.from_folder(folder, size=8, limit=6)


def test_a_folder_of_damaged_files(tmp_path):
    for index in range(3):
        (tmp_path / f"{index}.jpg").write_text("text")
    with pytest.raises(ProbeError, match=r"none of its 3 image files can be read.*\.jpg: not an"):
        Probes.from_folder(tmp_path, on_error="skip")


def test_what_is_no_file_is_named(folder):
    (folder / "gone.png").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.png")
    probes = Probes.from_folder(folder, size=8, on_error="skip")
    assert len(probes) == 6
    assert set(probes.skipped) == {
        Skipped("gone.png", "No such file or directory"),
        Skipped("pipe.png", "not a regular file"),
    }


def test_an_image_of_too_many_pixels(folder, monkeypatch):
    save(folder / "large.png", size=(100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ProbeError, match=r"large\.png: Image size \(10000 pixels\) exceeds"):
        Probes.from_folder(folder, size=8)


def test_programs_are_not_started_for_files_that_lie_about_their_kind(folder):
    (folder / "script.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    with pytest.raises(ProbeError, match=r"script\.jpg: not an image in one of the formats"):
        Probes.from_folder(folder, size=8)


def test_folders_without_images(tmp_path):
    with pytest.raises(ProbeError, match="absent: no such folder; expected a folder of images"):
        Probes.from_folder(tmp_path / "absent")
    with pytest.raises(ProbeError, match=r"no image files: found nothing; expected.*\.jpg"):
        Probes.from_folder(tmp_path)
    for name in ("a.txt", "b.txt", "c.csv", "README", ".hidden.png"):
        (tmp_path / name).write_text("text")
    with pytest.raises(
        ProbeError, match=r"found 4 other files \(2 \.txt, 1 without suffix, 1 \.csv\)"
    ):
        Probes.from_folder(tmp_path)
    with pytest.raises(ProbeError, match=r"a\.txt: this is a file; expected a folder"):
        Probes.from_folder(tmp_path / "a.txt")
    make_folder(tmp_path / "inner")
    with pytest.raises(ProbeError, match="1 folders, which recursive=False leaves out"):
        Probes.from_folder(tmp_path, recursive=False)


def test_a_folder_that_cannot_be_listed(folder, monkeypatch):
    def refuse(top, onerror, **options):
        onerror(PermissionError(13, "Permission denied", str(Path(top) / "locked")))
        yield str(top), [], ["a.png"]

    monkeypatch.setattr(os, "walk", refuse)
    with pytest.raises(ProbeError, match="locked: cannot read this folder: Permission denied"):
        Probes.from_folder(folder)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"path": 3}, InvalidTypeError, "path=3"),
        ({"size": 0}, InvalidValueError, "size=0"),
        ({"size": 8.0}, InvalidTypeError, r"size=8\.0"),
        ({"size": (8, 8, 8)}, InvalidValueError, r"size=\(8, 8, 8\)"),
        ({"size": (8, -1)}, InvalidValueError, r"size\[1\]=-1"),
        ({"size": "8"}, InvalidTypeError, "size='8'"),
        ({"limit": 0}, InvalidValueError, "limit=0"),
        ({"limit": True}, InvalidTypeError, "limit=True"),
        ({"seed": "x"}, InvalidTypeError, "seed='x'"),
        ({"crops": 0}, InvalidValueError, "crops=0"),
        ({"min_crop": 0}, InvalidValueError, "min_crop=0"),
        ({"min_crop": float("nan")}, InvalidValueError, "min_crop=nan"),
        ({"min_crop": 1.1}, InvalidValueError, r"min_crop=1\.1"),
        ({"min_crop": None}, InvalidTypeError, "min_crop=None"),
        ({"on_error": "ignore"}, InvalidValueError, "on_error='ignore'"),
        ({"groups": "folder"}, InvalidTypeError, "groups='folder'"),
        ({"groups": [1, 2]}, InvalidTypeError, r"groups=\[1, 2\]"),
        ({"workers": 0}, InvalidValueError, "workers=0"),
        ({"scratch": "/no/such/folder"}, InvalidValueError, "scratch="),
        ({"scratch": 3}, InvalidTypeError, "scratch=3"),
    ],
)
def test_wrong_arguments(folder, change, kind, message):
    with pytest.raises(kind, match=message):
        Probes.from_folder(**{"path": folder, **change})


def test_reading_leaves_no_file_open(folder):
    damage(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        before = len(os.listdir("/proc/self/fd"))
        Probes.from_folder(folder, size=8, on_error="skip")
        assert len(os.listdir("/proc/self/fd")) == before


def test_describe(folder):
    probes = Probes.from_folder(folder, size=(8, 6), limit=4, crops=2, seed=3)
    described = json.loads(json.dumps(probes.describe()))
    assert described == {
        "hash": probes.hash,
        "n": 4,
        "size": [8, 6],
        "n_groups": 2,
        "duplicates": 0,
        "skipped": [],
        "source": {
            "kind": "folder",
            "path": str(folder),
            "image_files": 6,
            "other_files": 0,
            "recursive": True,
            "groups": "photo",
            "limit": 4,
            "crops": 2,
            "min_crop": 0.5,
            "seed": 3,
        },
    }
    assert repr(probes).startswith("Probes(4 images of 8 x 6 in 2 groups, from folder, hash ")
