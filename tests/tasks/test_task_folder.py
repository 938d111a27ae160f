"""Folders of classes: what counts as a class, what is left out, and what is refused."""

import os
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tasks.photos import class_folders, photo

import pyattrx
from pyattrx import Probes, Task
from pyattrx._scratch import Scratch
from pyattrx.errors import InvalidTypeError, InvalidValueError, ProbeError, TaskError, TaskWarning
from pyattrx.tasks import folders, gathering


def test_subfolders_are_classes_in_the_order_of_image_folder(tmp_path):
    class_folders(tmp_path, {"b": 2, "a": 2, "a/deep": 2, "a/deep-er": 1, "a/deep/est": 1})
    task = Task.from_folder(tmp_path, size=8)
    # As torchvision.datasets.ImageFolder: classes, then folders sorted as text, then files.
    expected = []
    for name in ("a", "b"):
        for root, _, files in sorted(os.walk(tmp_path / name, followlinks=True)):
            expected += [os.path.relpath(f"{root}/{file}", tmp_path) for file in sorted(files)]
    assert list(task.probes.names) == expected
    assert task.kind == "classification"
    assert task.classes == ("a", "b")
    assert task.labels.tolist() == [0] * 6 + [1] * 2
    assert task.labels.dtype == np.int64
    assert task.counts == {"a": 6, "b": 2}
    assert task.name == tmp_path.name
    assert (len(task), task.n_labelled, task.report.available) == (8, 8, 8)


def test_pixels_are_those_that_probes_have(tmp_path):
    class_folders(tmp_path, {"a": 3, "b": 3}, size=(31, 17))
    task = Task.from_folder(tmp_path, size=(8, 12))
    probes = Probes.from_folder(tmp_path, size=(8, 12))
    known = dict(zip(probes.names, probes.digests(), strict=True))
    assert [known[name] for name in task.probes.names] == task.probes.digests()
    assert (task.report.smallest, task.report.largest) == ((17, 31), (17, 31))


def test_classes_that_are_numbers_are_sorted_as_numbers(tmp_path):
    class_folders(tmp_path, {"10": 2, "9": 2, "2": 2})
    task = Task.from_folder(tmp_path, size=8)
    assert task.classes == ("2", "9", "10")
    assert task.labels.tolist() == [2, 2, 0, 0, 1, 1]  # 10, 2 and 9, as folders are sorted


def test_links_are_followed_but_not_in_a_circle(tmp_path):
    class_folders(tmp_path / "else", {"inner": 2})
    class_folders(tmp_path / "root", {"a": 2, "b": 2})
    (tmp_path / "root" / "a" / "link").symlink_to(tmp_path / "else" / "inner")
    (tmp_path / "root" / "b" / "up").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "c").symlink_to(tmp_path / "else")
    with pytest.warns(TaskWarning, match="another label"):
        task = Task.from_folder(tmp_path / "root", size=8)
    assert task.counts == {"a": 4, "b": 2, "c": 2}
    assert "a/link/000.png" in task.probes.names


def test_hidden_files_and_other_files_are_left_out(tmp_path):
    class_folders(tmp_path, {"a": 2, "b": 2, ".hidden": 2})
    photo(90).save(tmp_path / "a" / ".thumb.png")
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "LICENSE").write_text("x")
    task = Task.from_folder(tmp_path, size=8)
    assert (len(task), task.classes) == (4, ("a", "b"))
    assert task.report.ignored == {"": 1, ".txt": 1}
    assert "1 without suffix, 1 .txt" in task.summary()


def test_an_empty_class_is_named_and_left_out(tmp_path):
    class_folders(tmp_path, {"a": 2, "b": 2, "none": 0})
    with pytest.warns(TaskWarning, match="class 'none' without an image"):
        task = Task.from_folder(tmp_path, size=8)
    assert task.report.empty == ("none",)
    assert task.classes == ("a", "b")
    assert "folders without an image: none" in task.summary()


def test_images_beside_the_classes_have_no_label(tmp_path):
    class_folders(tmp_path, {"a": 2, "b": 2})
    photo(90).save(tmp_path / "one.png")
    task = Task.from_folder(tmp_path, size=8)
    assert task.labelled.tolist() == [True] * 4 + [False]
    assert task.labels.tolist() == [0, 0, 1, 1, -1]
    assert "1 image beside the class folders, without a label" in task.summary()


def test_a_folder_of_images_is_unlabelled(tmp_path):
    for seed in range(3):
        photo(seed).save(tmp_path / f"{seed}.png")
    task = Task.from_folder(tmp_path, size=8)
    assert (task.kind, task.labels, task.classes, task.counts) == ("unlabelled", None, None, {})
    assert not task.labelled.any()
    class_folders(tmp_path, {"one": 2})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = Task.from_folder(tmp_path, size=8, labels=None)
    assert (task.kind, len(task)) == ("unlabelled", 5)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"a": 3}, "one class, 'a'; expected subfolders of two or more classes"),
        ({"images/cat": 2, "images/dog": 2}, r"subfolders \(cat, dog\), which may be them"),
        ({"train/cat": 2, "val/cat": 2}, "parts of a data set.*such as .*/val"),
        ({"Test": 2}, "parts of a data set"),
        ({"a": 0}, "no image files, in 1 subfolder; found nothing else; expected files that end"),
        ({}, "no image files, in 0 subfolders"),
    ],
)
def test_folders_that_are_no_task(tmp_path, counts, expected):
    class_folders(tmp_path, counts)
    with pytest.raises(TaskError, match=expected):
        Task.from_folder(tmp_path, size=8)


def test_paths_that_are_no_folders(tmp_path):
    with pytest.raises(TaskError, match="no such folder"):
        Task.from_folder(tmp_path / "absent")
    photo(0).save(tmp_path / "a.png")
    with pytest.raises(TaskError, match=r"a file; .*Task\.from_manifest"):
        Task.from_folder(tmp_path / "a.png")
    with pytest.raises(InvalidTypeError, match="path=3"):
        Task.from_folder(3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"size": 0}, "size=0"),
        ({"limit": 0}, "limit=0"),
        ({"seed": "x"}, "seed='x'"),
        ({"on_error": "ignore"}, "on_error='ignore': expected 'raise' or 'skip'"),
        ({"groups": "photo"}, "groups='photo'.*a function of a path"),
        ({"labels": [0, 1]}, r"labels=\[0, 1\]: expected 'folders' or None"),
        ({"workers": 0}, "workers=0"),
        ({"name": 3}, "name=3"),
    ],
)
def test_wrong_arguments(tmp_path, options, expected):
    class_folders(tmp_path, {"a": 2, "b": 2})
    with pytest.raises((InvalidValueError, InvalidTypeError), match=f"^{expected}"):
        Task.from_folder(tmp_path, **{"size": 8, **options})


def test_images_that_cannot_be_read(tmp_path):
    class_folders(tmp_path, {"a": 4, "b": 4})
    (tmp_path / "a" / "001.png").write_bytes(b"not an image")
    (tmp_path / "b" / "zero.jpg").touch()
    (tmp_path / "b" / "link.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ProbeError, match=r"a/001\.png: not an image.*on_error='skip'"):
        Task.from_folder(tmp_path, size=8)
    task = Task.from_folder(tmp_path, size=8, on_error="skip")
    assert task.counts == {"a": 3, "b": 4}
    assert [one.path for one in task.report.skipped] == ["a/001.png", "b/link.png", "b/zero.jpg"]
    assert "3 images skipped:" in task.summary()
    assert "b/zero.jpg: the file is empty" in task.summary()
    for path in (tmp_path / "a").iterdir():
        path.write_bytes(b"no")
    with pytest.raises(TaskError, match=r"4 images read, of one class \(b\)"):
        Task.from_folder(tmp_path, size=8, on_error="skip")
    for path in (tmp_path / "b").glob("0*"):
        path.write_bytes(b"no")
    with pytest.raises(ProbeError, match="none of 10 images can be read; the first is a/000"):
        Task.from_folder(tmp_path, size=8, on_error="skip")


@pytest.mark.parametrize("limit", [1, 2, 5, 8, 9, 40])
def test_a_limit_reads_what_a_part_of_all_would_have(tmp_path, limit, monkeypatch):
    class_folders(tmp_path, {"a": 8, "b": 3, "c": 5})
    photo(90).save(tmp_path / "beside.png")
    whole = Task.from_folder(tmp_path, size=8)
    opened = []
    monkeypatch.setattr(
        "pyattrx.tasks.paths.open_photo",
        lambda path, own=pyattrx.tasks.paths.open_photo: opened.append(path) or own(path),
    )
    if limit == 1:
        with pytest.raises(TaskError, match="1 image read, of one class"):
            Task.from_folder(tmp_path, size=8, limit=1, seed=3)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TaskWarning)  # classes of one image
        task = Task.from_folder(tmp_path, size=8, limit=limit, seed=3)
    assert task.hash == whole.subsample(limit, seed=3).hash
    assert len(task) == len(opened) == min(limit, 17)


def test_a_limit_takes_others_for_those_that_cannot_be_read(tmp_path):
    class_folders(tmp_path, {"a": 8, "b": 8})
    first = Task.from_folder(tmp_path, size=8, limit=8).probes.names
    for name in first[:5]:
        (tmp_path / name).write_bytes(b"no")
    task = Task.from_folder(tmp_path, size=8, limit=8, on_error="skip")
    assert task.counts == {"a": 4, "b": 4}
    assert len(task.report.skipped) == 5
    for name in first[:5]:
        (tmp_path / name).unlink()
    assert Task.from_folder(tmp_path, size=8, limit=8).hash == task.hash


def test_groups_are_told_from_paths(tmp_path):
    class_folders(tmp_path, {"a/x": 3, "a/y": 2, "b/x": 3, "b/z": 1})
    task = Task.from_folder(tmp_path, size=8, groups=lambda path: path.parts[1])
    assert task.groups.tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 2]
    with pytest.raises(InvalidTypeError, match=r"groups\('a/x/000.png'\)=None"):
        Task.from_folder(tmp_path, size=8, groups=lambda path: None)
    with pytest.raises(TaskError, match="limit=1: the first group of the draw has more images"):
        Task.from_folder(tmp_path, size=8, groups=lambda path: "all", limit=1)


def test_copies_and_contradictions(tmp_path):
    class_folders(tmp_path, {"a": 3, "b": 3})
    photo(0).save(tmp_path / "a" / "copy.png")
    task = Task.from_folder(tmp_path, size=8)
    assert (task.duplicates, task.contradictions) == (1, ())
    assert "1 exact copy of others" in task.summary()
    photo(0).save(tmp_path / "b" / "same.png")
    photo(0).save(tmp_path / "unlabelled.png")
    with pytest.warns(
        TaskWarning, match=r"3 images with an exact copy .*'a/000.png', 'a/copy.png'"
    ):
        task = Task.from_folder(tmp_path, size=8)
    assert [task.probes.names[at] for at in task.contradictions] == [
        "a/000.png", "a/copy.png", "b/same.png",
    ]  # fmt: skip
    assert len(set(task.groups[list(task.contradictions)].tolist())) == 1
    assert "3 images with a copy that has another label" in task.summary()


def test_a_class_of_one_image_is_warned_of(tmp_path):
    class_folders(tmp_path, {"a": 3, "b": 1, "c": 1})
    photo(3).save(tmp_path / "b" / "copy.png")
    with pytest.warns(TaskWarning, match="classes 'b', 'c' with one image, or one group"):
        Task.from_folder(tmp_path, size=8)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK", "P", "1", "I;16"])
def test_other_modes_than_rgb_are_read(tmp_path, mode):
    class_folders(tmp_path, {"a": 2, "b": 2})
    grey = np.full((9, 9), 25700, np.uint16) if mode == "I;16" else np.full((9, 9), 100, np.uint8)
    image = Image.fromarray(grey)
    suffix = "tif" if mode == "CMYK" else "png"
    (image if mode == "I;16" else image.convert(mode)).save(tmp_path / "a" / f"grey.{suffix}")
    task = Task.from_folder(tmp_path, size=8)
    at = task.probes.names.index(f"a/grey.{suffix}")
    if mode != "1":
        assert np.abs(task.probes.stored(np.array([at])).astype(int) - 100).max() <= 1
    else:
        assert task.probes.stored(np.array([at])).shape == (1, 3, 8, 8)


def test_photos_are_turned_upright(tmp_path):
    class_folders(tmp_path, {"a": 2, "b": 2})
    half = np.zeros((8, 8, 3), np.uint8)
    half[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(half).save(tmp_path / "a" / "turned.png", exif=exif)
    task = Task.from_folder(tmp_path, size=8)
    pixels = task.probes[task.probes.names.index("a/turned.png")]
    assert pixels[:, 5:].min() == 1
    assert pixels[:, :3].max() == 0


def test_pixels_without_room_are_refused_before_any_is_read(tmp_path, monkeypatch):
    class_folders(tmp_path, {"a": 2, "b": 2})
    free = SimpleNamespace(free=767)  # a byte less than four images
    monkeypatch.setattr(gathering.shutil, "disk_usage", lambda path: free)
    with pytest.raises(TaskError, match="limit= reads fewer images.*size=.*scratch="):
        Task.from_folder(tmp_path, size=8, scratch=Scratch(in_memory=0))
    with pytest.warns(TaskWarning, match="classes 'a', 'b' with one image"):
        small = Task.from_folder(tmp_path, size=8, limit=2, scratch=Scratch(in_memory=0))
    assert len(small) == 2


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    class_folders(tmp_path, {"a": 2, "b": 2})

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folders.os, "scandir", refuse)
    with pytest.raises(TaskError, match="cannot read this folder: Permission denied"):
        Task.from_folder(tmp_path, size=8)
