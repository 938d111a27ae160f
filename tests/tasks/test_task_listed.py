"""Lists of image files, and tables of them in memory."""

from pathlib import Path

import numpy as np
import pytest
from tasks.photos import class_folders

from pyattrx import Task
from pyattrx.errors import InvalidTypeError, InvalidValueError, ProbeError
from pyattrx.tasks.listed import as_paths


@pytest.fixture
def files(tmp_path):
    """Seven files, with the names of their classes, and the task of their folder."""
    paths = [str(tmp_path / path) for path in class_folders(tmp_path, {"cat": 4, "dog": 3})]
    return paths, [Path(path).parent.name for path in paths], Task.from_folder(tmp_path, size=16)


def test_paths_are_the_task_of_their_folder(files):
    paths, labels, expected = files
    for listed in (paths, [Path(path) for path in paths], np.array(paths)):
        task = Task.of((listed, np.array(labels)), size=16)
        assert task.hash == expected.hash
        assert task.probes.names == tuple(paths)
    unlabelled = Task.of(paths, size=16)
    assert unlabelled.kind == "unlabelled"
    assert unlabelled.probes.hash == expected.probes.hash


def test_a_part_of_paths_is_even_over_the_classes(files):
    paths, labels, _ = files
    assert Task.of((paths, labels), size=16, limit=4).counts == {"cat": 2, "dog": 2}
    assert len(Task.of(tuple(paths[:2]), size=16)) == 2  # not a pair


def test_labels_of_another_number(files):
    paths, labels, _ = files
    with pytest.raises(InvalidValueError, match="^labels='6 labels': expected 7 labels"):
        Task.of((paths, labels[:-1]))


def test_a_file_that_is_not_there_is_named(files):
    paths, labels, _ = files
    with pytest.raises(ProbeError, match=r"gone\.png"):
        Task.of(([*paths[:-1], "gone.png"], labels))


def test_samples_that_are_no_images_are_told_what_is_meant(files):
    paths, labels, _ = files
    with pytest.raises(InvalidTypeError, match=r"Task\.of\(\(paths, labels\)\) opens files"):
        Task.of(list(zip(paths, labels, strict=True)))
    with pytest.raises(InvalidTypeError, match=r"numpy\.uint8"):
        Task.from_dataset([([[0, 1], [2, 3]], "cat")])


def test_what_are_no_paths():
    for given in ([], [1], [b"a"], np.zeros((2, 3)), "a.png", None, ["a.png", 3]):
        assert as_paths(given) is None


def test_a_data_frame(files, monkeypatch, tmp_path):
    pandas = pytest.importorskip("pandas")
    paths, labels, expected = files
    frame = pandas.DataFrame({"path": paths, "label": labels})
    task = Task.of(frame, size=16)
    assert (task.hash, task.name) == (expected.hash, "task")
    assert Task.of((frame["path"], frame["label"]), size=16).hash == expected.hash
    assert Task.from_manifest(frame, size=16, limit=4).counts == {"cat": 2, "dog": 2}
    monkeypatch.chdir(tmp_path)
    frame["path"] = [Path(path).relative_to(tmp_path) for path in paths]
    frame.loc[6, "label"] = None
    task = Task.from_manifest(frame, size=16)
    assert task.probes.hash == expected.probes.hash
    assert task.labelled.tolist() == [True] * 6 + [False]
    with pytest.raises(
        InvalidValueError, match="^label='kind': expected a column of the DataFrame"
    ):
        Task.from_manifest(frame, label="kind")
    with pytest.raises(InvalidValueError, match="a row for every image"):
        Task.from_manifest(frame[:0])
