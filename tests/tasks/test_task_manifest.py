"""Tables of images: columns, types of cells, and places in messages."""

import csv
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from tasks.photos import class_folders, photo

from pyattrx import Task
from pyattrx.errors import (
    InvalidTypeError,
    InvalidValueError,
    MissingDependencyError,
    ProbeError,
    PyattrxError,
    TaskError,
)
from pyattrx.tasks import tables

pytestmark = pytest.mark.filterwarnings("ignore:.* with one image:pyattrx.errors.TaskWarning")


@pytest.fixture
def table(tmp_path):
    """A function that writes six photos and a table of them."""

    def write(columns, name="table.csv", folder=None):
        for seed in range(6):
            photo(seed).save(tmp_path / f"{seed}.png")
        place = (folder or tmp_path) / name
        rows = {"path": [f"{seed}.png" for seed in range(6)], **columns}
        with open(place, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="," if name.endswith("csv") else "\t")
            writer.writerow(rows)
            writer.writerows(zip(*rows.values(), strict=True))
        return place

    return write


@pytest.mark.parametrize("name", ["pets.csv", "pets.tsv", "pets.tab", "pets.CSV"])
def test_names_of_classes(table, name):
    place = table({"label": [*"abcab", ""]}, name.lower())
    place = place.rename(place.with_name(name))
    task = Task.from_manifest(place, size=8)
    assert (task.kind, task.classes, task.name) == ("classification", ("a", "b", "c"), "pets")
    assert task.labels.tolist() == [0, 1, 2, 0, 1, -1]
    assert task.labelled.tolist() == [True] * 5 + [False]
    assert task.probes.names == tuple(f"{seed}.png" for seed in range(6))
    assert task.report.place == str(place)


@pytest.mark.parametrize(
    ("cells", "options", "kind", "expected"),
    [
        (["1", "0", "2", "1", "0", ""], {}, "classification", [1, 0, 2, 1, 0, -1]),
        (["007", "7", "7", "007", "7", "7"], {}, None, "'classification' if all of column"),
        (["007", "008"] * 3, {}, "classification", [0, 1] * 3),
        (["1.5", "2", "-3e1", "4", "5", ""], {}, "regression", [1.5, 2, -30, 4, 5, None]),
        (["1", "2", "3", "4", "5", "6"], {"kind": "regression"}, "regression", [1, 2, 3, 4, 5, 6]),
        (["1", "2"] * 3, {"kind": "classification"}, "classification", [0, 1] * 3),
        (["1.0", "2.5"] * 3, {"kind": "classification"}, "classification", [0, 1] * 3),
        (["1", "2", "NA", "1", "2", "1"], {}, None, "'NA' in line 4 and numbers elsewhere"),
        (["1", "NA"] * 3, {"kind": "classification"}, "classification", [0, 1] * 3),
        (["1.5", "2", "nan", "1", "2", "1"], {}, None, "'nan' in line 4"),
        (["1.5", "x"] * 3, {"kind": "regression"}, None, "line 3='x': expected a number"),
        (["1", "0"] * 3, {"classes": ["no", "yes"]}, "classification", [1, 0] * 3),
        (["a", "b"] * 3, {"kind": "multilabel"}, None, "label='label': expected several columns"),
        (["a", "b"] * 3, {"kind": "dense_regression"}, None, "kind='dense.*cells hold no maps"),
        (["1.0", "2.0"] * 3, {}, None, "kind=None.*whole numbers in a floating type"),
        ([""] * 6, {}, "unlabelled", None),
        (["same"] * 6, {}, None, "column 'label'=\"one class, 'same'\""),
        (["True", "False"] * 3, {}, "classification", [1, 0] * 3),
    ],
)
def test_types_of_cells(table, cells, options, kind, expected):
    place = table({"label": cells})
    if kind is None:
        with pytest.raises(InvalidValueError, match=expected):
            Task.from_manifest(place, size=8, **options)
        return
    task = Task.from_manifest(place, size=8, **options)
    assert task.kind == kind
    if kind == "regression":
        assert task.targets == ("label",)
        found = [None if np.isnan(value) else float(value) for value in task.labels[:, 0]]
        assert found == expected
    elif kind == "classification":
        assert task.labels.tolist() == expected
    else:
        assert task.labels is expected


def test_several_columns(table):
    place = table({"x": ["1", "2", "", "4", "5", "6"], "y": ["0.5", "0", "", "1", "2", "3"]})
    task = Task.from_manifest(place, label=["y", "x"], size=8)
    assert (task.kind, task.targets) == ("regression", ("y", "x"))
    assert task.labels[task.labelled].tolist() == [[0.5, 1], [0, 2], [1, 4], [2, 5], [3, 6]]
    assert task.labelled.tolist() == [True, True, False, True, True, True]
    half = table({"x": ["1", "", "3", "4", "5", "6"], "y": ["1", "2", "3", "4", "5", "6"]})
    with pytest.raises(
        InvalidValueError, match="^column 'x', line 3=None: expected a number, as other"
    ):
        Task.from_manifest(half, label=["y", "x"], size=8)
    ones = table({"sun": ["1", "0"] * 3, "sea": ["1", "1", "0", "0", "1", "0"]})
    with pytest.raises(InvalidValueError, match="^kind=None.*'multilabel' or 'regression'"):
        Task.from_manifest(ones, label=["sun", "sea"], size=8)
    several = Task.from_manifest(ones, label=["sun", "sea"], kind="multilabel", size=8)
    assert (several.kind, several.counts) == ("multilabel", {"sea": 3, "sun": 3})
    numbers = Task.from_manifest(ones, label=["sun", "sea"], kind="regression", size=8)
    assert numbers.labels.tolist()[1] == [0, 1]
    with pytest.raises(InvalidValueError, match="^kind='classification': expected 'regression' or"):
        Task.from_manifest(ones, label=["sun", "sea"], kind="classification")
    with pytest.raises(InvalidValueError, match=r"^label\[1\]='son': .*did you mean 'sun'"):
        Task.from_manifest(ones, label=["sea", "son"])


def test_other_columns_and_places(table, tmp_path):
    place = table({"file": [str(tmp_path / f"{k}.png") for k in range(6)], "who": [*"aabbcc"]})
    task = Task.from_manifest(place, image="file", label=None, groups="who", size=8)
    assert task.kind == "unlabelled"
    assert task.groups.tolist() == [0, 0, 1, 1, 2, 2]
    (tmp_path / "tables").mkdir()
    place = table({"label": [*"ababab"]}, folder=tmp_path / "tables")
    with pytest.raises(ProbeError, match=r"tables/0\.png: No such file"):
        Task.from_manifest(place, size=8)
    assert Task.from_manifest(place, root=tmp_path, size=8).counts == {"a": 3, "b": 3}


def test_a_table_of_a_folder_is_the_same_task(tmp_path):
    paths = class_folders(tmp_path, {"a": 3, "b": 4})
    table = tmp_path / "table.csv"
    table.write_text("\ufeffpath,label\r\n" + "".join(f"{p},{p[0]}\r\n" for p in paths))
    folder = Task.from_folder(tmp_path, size=8)
    assert Task.from_manifest(table, size=8).hash == folder.hash
    part = Task.from_manifest(table, size=8, limit=5, seed=2)
    assert part.hash == folder.subsample(5, seed=2).hash
    assert part.hash == Task.from_folder(tmp_path, size=8, limit=5, seed=2).hash


def test_images_that_cannot_be_read_are_listed(table, tmp_path):
    place = table({"label": [*"ababab"]})
    (tmp_path / "2.png").unlink()
    task = Task.from_manifest(place, size=8, on_error="skip")
    assert (len(task), [one.path for one in task.report.skipped]) == (5, ["2.png"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty; expected a first line"),
        ("path,label\n", "no rows below"),
        ("path,label\na,b\n\na,b,c\n", "line 4: 3 cells; expected 2, one for every column"),
        ("path,path\na,b\n", "two columns are called 'path'"),
        ('path,label\na,"b\n', "cannot be read as a table"),
        ("path,label\n,b\n", "column 'path', line 2=None: expected the path of an image"),
        ("file,label\na,b\n", "image='path': expected a column of .*: 'file', 'label'"),
        ("path,labels\na,b\n", "label='label': .*did you mean 'labels'"),
    ],
)
def test_tables_that_are_none(tmp_path, text, expected):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(PyattrxError, match=expected):
        Task.from_manifest(tmp_path / "table.csv")


def test_lines_are_those_of_the_file(tmp_path):
    (tmp_path / "table.csv").write_text('path,note,label\na,"two\nlines",1.5\nb,one,x\n')
    with pytest.raises(InvalidValueError, match="^column 'label', line 4='x'"):
        Task.from_manifest(tmp_path / "table.csv", kind="regression")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"image": 3}, "image=3"),
        ({"label": 3}, "label=3"),
        ({"label": []}, r"label=\[\]"),
        ({"groups": "nobody"}, "groups='nobody': expected a column of"),
        ({"groups": "empty"}, "column 'empty', line 2=None: expected the group"),
        ({"root": 3}, "root=3"),
        ({"kind": "other"}, "kind='other'"),
        ({"limit": "x"}, "limit='x'"),
        ({"on_error": None}, "on_error=None"),
    ],
)
def test_wrong_arguments(table, options, expected):
    place = table({"label": [*"ababab"], "empty": [""] * 6})
    with pytest.raises((InvalidValueError, InvalidTypeError), match=f"^{expected}"):
        Task.from_manifest(place, **{"size": 8, **options})


def test_paths_that_are_no_tables(tmp_path):
    with pytest.raises(TaskError, match="no such file; expected a table"):
        Task.from_manifest(tmp_path / "absent.csv")
    with pytest.raises(TaskError, match=r"a folder; Task\.from_folder reads one"):
        Task.from_manifest(tmp_path)
    with pytest.raises(InvalidTypeError, match="^path=3"):
        Task.from_manifest(3)
    (tmp_path / "table.xlsx").touch()
    with pytest.raises(InvalidValueError, match="^path=.*ends in .csv, .parquet"):
        Task.from_manifest(tmp_path / "table.xlsx")
    (tmp_path / "table.csv").write_bytes(b"path,label\n\xff\xfe,a\n")
    with pytest.raises(TaskError, match="not UTF-8 text"):
        Task.from_manifest(tmp_path / "table.csv")


def test_parquet_needs_a_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pandas", None)
    (tmp_path / "table.parquet").touch()
    with pytest.raises(MissingDependencyError, match="'pyarrow'.*pip install pyarrow"):
        Task.from_manifest(tmp_path / "table.parquet")


COLUMNS = {"path": [f"{k}.png" for k in range(6)], "label": [1, 0, None, 1, 0, 1], "y": [0.5] * 6}


def test_parquet_with_pyarrow(tmp_path, monkeypatch):
    """With a stand-in for the package, unless it is there."""
    for seed in range(6):
        photo(seed).save(tmp_path / f"{seed}.png")
    place = tmp_path / "table.parquet"
    try:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table(COLUMNS), place)
    except ImportError:
        place.touch()
        module = ModuleType("pyarrow")
        read = lambda path: SimpleNamespace(to_pydict=lambda: COLUMNS)  # noqa: E731
        module.parquet = SimpleNamespace(read_table=read)
        monkeypatch.setitem(sys.modules, "pyarrow", module)
    task = Task.from_manifest(place, size=8)
    assert task.labels.tolist() == [1, 0, -1, 1, 0, 1]
    with pytest.raises(InvalidValueError, match="^column 'y'='the same"):
        Task.from_manifest(place, label="y", size=8)


def test_parquet_with_pandas(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for seed in range(6):
        photo(seed).save(tmp_path / f"{seed}.png")
    (tmp_path / "table.pq").touch()
    frame = pandas.DataFrame({**COLUMNS, "label": [*"aba", None, " ", "b"]})
    monkeypatch.setattr(pandas, "read_parquet", lambda path: frame)
    task = Task.from_manifest(tmp_path / "table.pq", size=8)
    assert task.labels.tolist() == [0, 1, 0, -1, -1, 1]
    table = tables.read_table(tmp_path / "table.pq")
    assert [type(cell) for cell in table.columns["y"]] == [float] * 6


def test_rows_of_a_table_without_lines_are_numbered(tmp_path, monkeypatch):
    table = tables.Table(tmp_path / "t.pq", {"path": ["a", "b"], "y": [1.5, float("nan")]}, None)
    monkeypatch.setattr("pyattrx.tasks.sources.read_table", lambda path: table)
    with pytest.raises(
        InvalidValueError, match="^column 'y', row 1=nan: expected a number, or nothing"
    ):
        Task.from_manifest("t.pq", label="y")
