"""Published accuracies as files have them, and what is refused."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyattrx.errors import InvalidTypeError, InvalidValueError, PyattrxError
from pyattrx.evaluate import Accuracies, read_accuracies, read_all_accuracies
from pyattrx.evaluate.columns import ROLES
from pyattrx.evaluate.literals import read_literals

# Made up; the shapes are those in which others publish.
DATASETS = ("pets", "dtd", "cars")
MODELS = ("resnet18", "vgg11", "vit_tiny")
VALUES = np.array([[0.9, 0.8, 0.85], [0.6, 0.5, np.nan], [0.7, 0.75, 0.65]])
PAIRS = [
    (dataset, model, float(VALUES[t, s]))
    for t, dataset in enumerate(DATASETS)
    for s, model in enumerate(MODELS)
    if not np.isnan(VALUES[t, s])
]
NESTED = {d: {m: v for e, m, v in PAIRS if e == d} for d in DATASETS}
TURNED = {m: {d: v for d, n, v in PAIRS if n == m} for m in MODELS}


def written(folder, name, content):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def lines(*rows):
    return "\n".join(",".join(map(str, row)) for row in rows)


def wide(corner, rows, columns, values):
    def cell(value):
        return "" if np.isnan(value) else value

    return lines(
        [corner, *columns],
        *([name, *map(cell, row)] for name, row in zip(rows, values, strict=True)),
    )


RECORDS = [{"Architecture": m, "Target Dataset": d, "Oracle": v} for d, m, v in PAIRS]
LONG = [(m, d, v) for d, m, v in PAIRS]
SHAPES = {
    "long.csv": lines(["Architecture", "Target Dataset", "Oracle"], *LONG),
    "models.csv": wide("model", MODELS, DATASETS, VALUES.T),
    "datasets.csv": wide("target", DATASETS, MODELS, VALUES),
    "unnamed.csv": wide("", MODELS, DATASETS, VALUES.T),
    "percent.csv": lines(["model", "dataset", "acc"], *((m, d, 100 * v) for m, d, v in LONG)),
    "index.csv": lines(["", "model", "task", "top1"], *((i, *row) for i, row in enumerate(LONG))),
    "datasets.json": NESTED,
    "models.json": TURNED,
    "records.json": RECORDS,
    "records.jsonl": "\n\n".join(map(json.dumps, RECORDS)) + "\n",
    "program.py": f"import no_such\nif exit():\n    sizes = {{'a': 1}}\n    found = {NESTED}",
    "null.json": {d: {m: NESTED[d].get(m) for m in MODELS} for d in DATASETS},
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_one_table_in_every_shape(tmp_path, name):
    found = read_accuracies(written(tmp_path, name, SHAPES[name]))
    assert set(found.datasets) == set(DATASETS)
    assert set(found.models) == set(MODELS)
    table = found.table().select(DATASETS, MODELS)
    np.testing.assert_allclose(table.values, VALUES)
    assert found.seeds.max() == 1


def test_what_was_guessed_is_said(tmp_path):
    def notes(name):
        return read_accuracies(written(tmp_path, name, SHAPES[name])).notes

    assert notes("long.csv") == (
        "model is 'Architecture', dataset is 'Target Dataset', accuracy is 'Oracle'",
    )
    assert "values are percent" in notes("percent.csv")
    assert notes("models.csv") == ("columns are data sets, rows models",)
    assert notes("unnamed.csv") == notes("models.csv")
    assert notes("datasets.csv") == ("columns are models, rows data sets",)
    assert notes("models.json") == ("the outer names are models",)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_table_survives_any_shape(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("shapes")
    names = st.text(st.characters(codec="utf-8", categories=["L", "Nd"]), min_size=1, max_size=6)
    models = data.draw(st.lists(names, min_size=2, max_size=4, unique=True))
    datasets = data.draw(st.lists(names, min_size=1, max_size=4, unique=True))
    cells = st.one_of(st.just(np.nan), st.floats(0, 1))
    size = len(models) * len(datasets)
    drawn = data.draw(st.lists(cells, min_size=size, max_size=size))
    values = np.reshape(drawn, (len(datasets), len(models)))
    # A name without a value is not in the table; "nan" may be a name and no number.
    rows, columns = (~np.isnan(values).all(axis) for axis in (1, 0))
    if columns.sum() < 2:
        return
    datasets = [name for name, kept in zip(datasets, rows, strict=True) if kept]
    models = [name for name, kept in zip(models, columns, strict=True) if kept]
    values = values[np.ix_(rows, columns)]
    nested = {
        d: {m: float(v) for m, v in zip(models, row, strict=True) if not np.isnan(v)}
        for d, row in zip(datasets, values, strict=True)
    }
    records = [
        {"model": m, "dataset": d, "acc": v} for d, of in nested.items() for m, v in of.items()
    ]
    columns = {"model": "model", "dataset": "dataset", "accuracy": "acc"}
    given = {
        "a.json": (nested, {"rows": "datasets"}),
        "b.json": (records, {"columns": columns}),
        "c.py": (f"x = {nested!r}", {"rows": "datasets"}),
        # A model may be called "target" or "seed": what is what is said, not guessed.
        "d.csv": (
            wide("", datasets, models, values),
            {"rows": "datasets", "columns": {**dict.fromkeys(ROLES), "dataset": ""}},
        ),
    }
    for name, (content, options) in given.items():
        path = folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        found = read_accuracies(path, unit="fraction", **options)
        np.testing.assert_array_equal(found.table().select(datasets, models).values, values)


def test_a_model_with_the_name_of_a_column_is_not_read_as_names(tmp_path):
    path = written(tmp_path, "wide.csv", ",target,vgg11\npets,0.5,0.25\ndtd,0.75,1\n")
    with pytest.raises(InvalidValueError, match="'target' has numbers, not names"):
        read_accuracies(path, rows="datasets")
    found = read_accuracies(path, columns={**dict.fromkeys(ROLES), "dataset": ""}, unit="fraction")
    assert set(found.models) == {"target", "vgg11"}
    assert found.table().select(["pets", "dtd"], ["target"]).values.ravel().tolist() == [0.5, 0.75]


words = st.sampled_from(
    ["model", "dataset", "acc", "seed", "task", "pets", "vgg11", "1", "", "nan"]
)
cells = st.one_of(st.sampled_from(["0.5", "40", "inf", ""]), words)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 10**400), st.floats(), words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=4)),
    max_leaves=12,
)
numbers = st.one_of(st.floats(0, 1), st.sampled_from([None, 0, 1, 60, -1, 1e308]))
records = st.fixed_dictionaries(
    {"model": words, "dataset": words, "acc": numbers}, optional={"seed": words, "source": words}
)
content = st.one_of(
    anything,
    st.lists(records, min_size=1, max_size=4),
    st.dictionaries(words, st.dictionaries(words, numbers, min_size=1), min_size=1),
)
table = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=2, max_size=5)
)
options = st.fixed_dictionaries(
    {},
    optional={
        "rows": st.sampled_from(["datasets", "models"]),
        "unit": st.sampled_from(["raw", "percent", "fraction"]),
        "columns": st.dictionaries(
            st.sampled_from(["model", "dataset", "accuracy", "source", "seed", "kind"]),
            st.one_of(st.none(), words, st.lists(words, max_size=2)),
        ),
        "where": st.dictionaries(words, words, max_size=1),
        "kind": words,
    },
)


@settings(max_examples=200, deadline=None)
@given(content, table, options)
def test_whatever_a_file_holds_it_is_a_table_or_refused(tmp_path_factory, value, rows, given):
    folder = tmp_path_factory.getbasetemp()
    files = {
        "f.json": json.dumps(value),
        "f.jsonl": json.dumps(value),
        "f.py": f"x = {value!r}",
        "f.csv": lines(*rows),
    }
    for name, text in files.items():
        path = written(folder, name, text)
        try:
            found = read_accuracies(path, **given)
        except PyattrxError:
            continue
        kind = given.pop("kind", found.kind)
        again = read_all_accuracies(path, **given)[kind]
        np.testing.assert_array_equal(again.values, found.values)
        assert found.table().values.shape == (len(found.datasets), len(found.models))


def test_several_values_are_seeds(tmp_path):
    rows = [
        ("resnet18", "pets", 0.5, "a"),
        ("vgg11", "pets", 0.75, "a"),
        ("resnet18", "pets", 0.7, "b"),
    ]
    path = written(tmp_path, "seeds.csv", lines(["model", "dataset", "acc", "crop"], *rows))
    found = read_accuracies(path)
    assert found.values.shape == (1, 2, 2)
    np.testing.assert_array_equal(found.values[0], [[0.5, 0.7], [0.75, np.nan]])
    assert found.seeds.tolist() == [[2, 1]]
    np.testing.assert_allclose(found.table().values, [[0.6, 0.75]])
    assert found.notes[-1] == (
        "1 pairs of a model and a data set have several values, taken for seeds; their records "
        "differ in crop"
    )
    listed = written(tmp_path, "s.json", {"pets": {"resnet18": [0.5, 0.7], "vgg11": 0.75}})
    np.testing.assert_array_equal(read_accuracies(listed).values, found.values)


def test_named_seeds_keep_their_places_and_are_there_once(tmp_path):
    header = ["model", "dataset", "seed", "lr", "acc"]
    rows = [
        ("resnet18", "pets", 1, 0.1, 0.5),
        ("vgg11", "pets", 2, 0.1, 0.6),
        ("vgg11", "pets", 1, 0.1, 0.7),
    ]
    path = written(tmp_path, "seeds.csv", lines(header, *rows))
    np.testing.assert_array_equal(read_accuracies(path).values, [[[0.5, np.nan], [0.7, 0.6]]])
    path = written(tmp_path, "twice.csv", lines(header, *rows, ("vgg11", "pets", 1, 0.01, 0.8)))
    with pytest.raises(InvalidValueError, match=r"where=None.*among 'lr'.*seed 1.*line 4, line 5"):
        read_accuracies(path)
    found = read_accuracies(path, where={"lr": "0.10"})
    np.testing.assert_array_equal(found.values, [[[0.5, np.nan], [0.7, 0.6]]])
    with pytest.raises(InvalidValueError, match="values that a record has"):
        read_accuracies(path, where={"lr": 3})
    with pytest.raises(InvalidValueError, match="where='rate'"):
        read_accuracies(path, where={"rate": 3})


def test_what_a_model_was_trained_on_is_part_of_its_name_and_no_target(tmp_path):
    rows = [
        ("resnet18", "Oxford-Pets", "dtd", 0.5),
        ("resnet18", "dtd", "dtd", 0.99),
        ("resnet18", "dtd", "oxford_pets", 0.6),
        ("resnet18", "Oxford-Pets", "oxford_pets", 0.98),
        ("resnet18", "voc", "dtd", 0.4),
    ]
    path = written(tmp_path, "s.csv", lines(["model", "Source", "Target", "Oracle"], *rows))
    found = read_accuracies(path)
    assert found.models == ("resnet18 (Oxford-Pets)", "resnet18 (dtd)", "resnet18 (voc)")
    np.testing.assert_array_equal(found.table().values, [[0.5, np.nan, 0.4], [np.nan, 0.6, np.nan]])
    assert found.notes[-1] == "left out 2 accuracies on what the model was trained on"


def test_a_source_beside_a_column_for_every_data_set(tmp_path):
    rows = [("resnet18", "dtd", 0.9, 0.5), ("resnet18", "voc", 0.4, 0.6)]
    path = written(tmp_path, "s.csv", lines(["model", "source", "dtd", "pets"], *rows))
    found = read_accuracies(path)
    np.testing.assert_array_equal(
        found.table().select(["dtd", "pets"], found.models).values, [[np.nan, 0.4], [0.5, 0.6]]
    )


def test_several_kinds(tmp_path):
    path = written(tmp_path, "p.py", f"full = {NESTED}\nif True: head: dict = {TURNED}")
    with pytest.raises(InvalidValueError, match=r"kind=None: expected one of \['full', 'head'\]"):
        read_accuracies(path)
    assert list(read_all_accuracies(path)) == ["full", "head"]
    found = read_accuracies(path, kind="head")
    assert found.kind == "head"
    np.testing.assert_allclose(found.table().select(DATASETS, MODELS).values, VALUES)
    with pytest.raises(InvalidValueError, match="kind='heads'.*did you mean 'head'"):
        read_accuracies(path, kind="heads")
    # What else a program has is no matter, once it is said which.
    path = written(tmp_path, "o.py", f"full = {NESTED}\nlr = {{'x': {{'y': 9, 'z': 0.1}}}}")
    with pytest.raises(InvalidValueError, match="kind=None"):
        read_accuracies(path)
    assert read_accuracies(path, kind="full").models == MODELS
    deep = written(tmp_path, "k.json", {"full": NESTED, "head": NESTED})
    assert list(read_all_accuracies(deep)) == ["full", "head"]
    rows = [(m, d, k, v) for k in (10, -1) for d, m, v in PAIRS]
    path = written(tmp_path, "k.csv", lines(["model", "dataset", "shots", "acc"], *rows))
    found = read_all_accuracies(path, columns={"kind": "shots"})
    assert list(found) == ["10", "-1"]
    assert found["10"].seeds.max() == 1
    with pytest.raises(InvalidValueError, match="kind='10': expected none"):
        read_accuracies(path, kind="10")


def test_records_in_records_and_a_metric_for_every_task(tmp_path):
    records = [
        {"backbone": "a", "dataset": "val", "task": "depth", "metrics": {"d1": 0.5, "rmse": 0.4}},
        {"backbone": "b", "dataset": "val", "task": "depth", "metrics": {"d1": 0.6, "rmse": 0.3}},
        {"backbone": "a", "dataset": "val", "task": "classes", "metrics": {"top1": 0.9}},
        {"backbone": "b", "dataset": "val", "task": "classes", "metrics": {"top1": 0.8}},
        {"backbone": "b", "dataset": "val", "task": "edges", "metrics": {"mae": 0.8}},
    ]
    path = written(tmp_path, "v.jsonl", "\n".join(map(json.dumps, records)))
    with pytest.raises(InvalidValueError, match=r"which of \['dataset', 'task'\] is for 'dataset'"):
        read_accuracies(path)
    columns = {"dataset": "task"}
    with pytest.raises(InvalidValueError, match="which is for 'accuracy', one of .*metrics.top1"):
        read_accuracies(path, columns=columns)
    columns["accuracy"] = ["metrics.d1", "metrics.top1"]
    found = read_accuracies(path, columns=columns)
    assert found.datasets == ("depth", "classes")
    np.testing.assert_array_equal(found.table().values, [[0.5, 0.6], [0.9, 0.8]])
    assert "left out 1 records without an accuracy" in found.notes
    with pytest.raises(InvalidValueError, match="one for 'accuracy'; record 1 has them all"):
        read_accuracies(
            path, columns={"dataset": "task", "accuracy": ["metrics.d1", "metrics.rmse"]}
        )


def test_columns_of_a_wide_table_may_be_chosen(tmp_path):
    text = lines(["model", "params", "pets", "dtd"], ("a", 25, 90, 60), ("b", 86, 92, 50))
    path = written(tmp_path, "w.csv", text)
    assert read_accuracies(path).datasets == ("params", "pets", "dtd")
    found = read_accuracies(path, columns={"accuracy": ["pets", "dtd"]})
    np.testing.assert_array_equal(found.table().values, [[0.9, 0.92], [0.6, 0.5]])


@pytest.mark.parametrize("unit", [None, "percent"])
def test_percent_and_fractions_are_not_mixed(tmp_path, unit):
    content = {"pets": {"resnet18": 90, "vgg11": 0.8}, "dtd": {"resnet18": 0, "vgg11": 40}}
    path = written(tmp_path, "m.json", content)
    if unit is None:
        with pytest.raises(
            InvalidValueError, match=r"0.8 for vgg11 on pets looks like a fraction, 90"
        ):
            read_accuracies(path)
    else:
        found = read_accuracies(path, unit=unit).table().values
        np.testing.assert_allclose(found, [[0.9, 0.008], [0, 0.4]])


def test_what_is_no_accuracy_is_refused_unless_it_is_meant(tmp_path):
    path = written(tmp_path, "m.json", {"pets": {"resnet18": -3.5, "vgg11": 180}})
    with pytest.raises(
        InvalidValueError, match=r"unit=None: expected 'raw' .*-3.5 for resnet18 on pets"
    ):
        read_accuracies(path)
    assert read_accuracies(path, unit="raw").values.ravel().tolist() == [-3.5, 180]
    path = written(tmp_path, "f.json", {"pets": {"resnet18": 3, "vgg11": 0.5}})
    with pytest.raises(InvalidValueError, match="unit='fraction'.*not from 0 to 1"):
        read_accuracies(path, unit="fraction")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("inf.json", '{"pets": {"resnet18": Infinity, "vgg11": 0.5}}', "inf for resnet18 on pets"),
        ("inf.csv", "model,dataset,acc\na,pets,inf\nb,pets,0.5", "line 2: inf for a on pets"),
        ("one.csv", "model,dataset,acc\na,pets,0.5", "only model is 'a'"),
        ("none.json", '{"pets": {"resnet18": null, "vgg11": null}}', "no accuracy in it"),
        ("none.csv", "model,dataset,acc\na,pets,\nb,pets,", "no accuracy in it"),
        ("empty.json", "[]", "no records"),
        ("empty.json", "{}", "neither records nor numbers"),
        ("text.json", '{"pets": {"resnet18": "many", "vgg11": 1}}', "neither records nor numbers"),
        ("broken.json", "{", "not JSON"),
        ("broken.jsonl", '{"a": 1}\n{', "not JSON"),
        ("bytes.json", b"\xff\xfe\x00", "not JSON in UTF-8"),
        ("list.json", "[1, 2]", "no records, or a list of something else"),
        ("twice.json", '{"pets": {"resnet18": 0.4, "resnet18": 0.5}}', "'resnet18' is there twice"),
        ("twice.py", "x = {'a': {'vgg11': 0.4, 'vgg11': 0.5}}", "line 1: 'vgg11' is there twice"),
        ("two.py", "x = {'pets': {'vgg11': 1}}\nx = {'pets': {'vgg11': 0}}", "two dictionaries"),
        ("broken.py", "x = {", "not a Python program"),
        ("nothing.py", "x = {'lr': 0.1, 'run': open('file')}", "no name is assigned"),
        ("word.csv", "model,dataset,acc\na,pets,good\nb,pets,1", "line 2: 'good' is not a number"),
        ("word.csv", "model,pets,dtd\na,0.1,good\nb,0,1", "line 2, dtd: 'good' is not a number"),
        ("deep.json", '{"a": ' * 600 + "1" + "}" * 600, "neither records|too deeply"),
        ("deep.py", "x = " + "{'a': " * 90 + "1" + "}" * 90, "no name|not a Python"),
        ("true.json", '[{"model": "a", "dataset": "b", "acc": true}]', "True is not a number"),
        ("noname.csv", "model,dataset,acc\n,pets,0.5\nb,pets,0.5", "line 2: no model in 'model'"),
        ("short.csv", "model,dataset,acc\na,pets\nb,pets,0.5", "line 2: 2 cells, expected 3"),
        ("columns.csv", "model,pets,pets\na,0.5,0.5\nb,0.5,0.4", "'pets' is there twice"),
    ],
)  # fmt: skip
def test_damaged_files_are_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(PyattrxError, match=message) as raised:
        read_accuracies(path)
    assert str(raised.value).startswith(str(path))
    assert str(raised.value).count(str(path)) == 1


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (lines("ab", (1, 2), (3, 4)), {}, "rows=None: expected 'datasets' or 'models'"),
        (lines(["x", "a", "b"], ("c", 1, 2), ("d", 1, 2)), {}, "whether c, d are data sets and a"),
        (SHAPES["models.csv"], {"rows": "datasets"}, "what the column 'model' says"),
        (SHAPES["models.csv"], {"rows": "lines"}, r"rows='lines': expected one of \['datasets'"),
        (SHAPES["models.csv"], {"unit": "%"}, "unit='%'"),
        (SHAPES["long.csv"], {"columns": {"network": "a"}}, "columns='network'"),
        (SHAPES["long.csv"], {"columns": {"seed": "a"}}, "columns='a': expected a column for seed"),
        (SHAPES["long.csv"], {"columns": {"model": ["Oracle", "Architecture"]}}, "one column for"),
        (SHAPES["long.csv"], {"columns": {"dataset": None}}, "which is for 'dataset', one of"),
        (SHAPES["long.csv"], {"columns": {"accuracy": None}}, "which is for 'accuracy'"),
        ("model,top1\na,0.5\nb,0.6", {}, "which is for 'dataset', one of"),
        ("model,arch,dataset,acc\na,x,y,1", {}, r"which of \['model', 'arch'\] is for 'model'"),
        ("model,dataset,acc,top1\na,y,1,1", {}, r"which of \['acc', 'top1'\] is for 'accuracy'"),
    ],
)  # fmt: skip
def test_what_can_be_understood_in_two_ways_is_refused(tmp_path, content, options, message):
    with pytest.raises(InvalidValueError, match=message):
        read_accuracies(written(tmp_path, "a.csv", content), **options)


def test_arguments_of_another_kind_of_file(tmp_path):
    path = written(tmp_path, "a.json", NESTED)
    with pytest.raises(InvalidValueError, match="columns=.*file without columns"):
        read_accuracies(path, columns={"model": "a"})
    with pytest.raises(InvalidValueError, match="where=.*file without columns"):
        read_accuracies(path, where={"a": 1})
    with pytest.raises(InvalidTypeError, match="where="):
        read_accuracies(path, where="a=1")
    with pytest.raises(InvalidTypeError, match="columns="):
        read_accuracies(written(tmp_path, "a.csv", SHAPES["long.csv"]), columns="model")
    with pytest.raises(InvalidValueError, match="path="):
        read_accuracies(tmp_path / "a.xlsx")
    with pytest.raises(OSError, match="missing"):
        read_accuracies(tmp_path / "missing.json")
    ambiguous = written(tmp_path, "b.json", {"a": {"b": 0.5, "c": 0.4}})
    with pytest.raises(InvalidValueError, match="rows=None"):
        read_accuracies(ambiguous)
    assert read_accuracies(ambiguous, rows="datasets").datasets == ("a",)


def test_programs_are_not_executed(tmp_path):
    marker = tmp_path / "executed"
    opened = f"open({str(marker)!r}, 'w')"
    text = f"{opened}\nx = {NESTED}\ny = {{'a': {{'b': {opened}}}}}"
    path = written(tmp_path, "p.py", text)
    assert list(read_literals(path)) == ["x"]
    read_accuracies(path)
    assert not marker.exists()


def test_tables_that_are_none():
    with pytest.raises(InvalidTypeError, match="values="):
        Accuracies([["a", "b"]], ["x"], ["y", "z"])
    with pytest.raises(InvalidValueError, match="models=.*two or more"):
        Accuracies([[0.5]], ["x"], ["y"])
    with pytest.raises(InvalidValueError, match="values=inf"):
        Accuracies([[0.5, np.inf]], ["x"], ["y", "z"])
    with pytest.raises(InvalidValueError, match="models='y'.*only once"):
        Accuracies([[0.5, 0.4]], ["x"], ["y", "y"])
    with pytest.raises(InvalidValueError, match="models='z'.*an accuracy"):
        Accuracies([[0.5, np.nan]], ["x"], ["y", "z"])
    with pytest.raises(InvalidValueError, match="datasets='w'.*an accuracy"):
        Accuracies([[0.5, 0.4], [np.nan] * 2], ["x", "w"], ["y", "z"])
    with pytest.raises(InvalidValueError, match="datasets=.*1 names"):
        Accuracies([[0.5, 0.4]], [], ["y", "z"])
    with pytest.raises(InvalidTypeError, match="datasets="):
        Accuracies([[0.5, 0.4]], "x", ["y", "z"])
    with pytest.raises(InvalidValueError, match=r"values=\(2,\)"):
        Accuracies([0.5, 0.4], ["x"], ["y", "z"])
