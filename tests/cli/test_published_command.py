"""``pyattrx published`` as a user meets it."""

import json

import numpy as np
import pytest

from pyattrx.cli import main
from pyattrx.evaluate import (
    judge_scores,
    rank_agreement,
    read_accuracies,
    read_all_accuracies,
    reliability,
)

DATASETS = [f"data{i}" for i in range(4)]
MODELS = [f"resnet{i}" for i in range(6)]
FEW = ("--bootstrap", 200)


def nested(rng):
    good = np.linspace(0.3, 0.8, len(MODELS))
    return {
        d: {m: round(float(g + rng.normal() * 0.05), 3) for m, g in zip(MODELS, good, strict=True)}
        for d in DATASETS
    }


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "accuracies.py").write_text(f"full = {nested(rng)}\nhead = {nested(rng)}\n")
    (tmp_path / "one.json").write_text(json.dumps(nested(rng)))
    rows = [
        f"{m},{d},{v},{seed}"
        for seed in range(3)
        for d, of in nested(rng).items()
        for m, v in of.items()
    ]
    (tmp_path / "seeds.csv").write_text("\n".join(["net,data,correct,run", *rows]))
    lines = [",".join([m, *(f"{rng.normal():.3f}" for _ in DATASETS)]) for m in MODELS]
    (tmp_path / "mine.csv").write_text("\n".join([",".join(["model", *DATASETS]), *lines]))
    return tmp_path


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(["published", *map(str, arguments)])
    captured = capsys.readouterr()
    return stop.value.code or 0, captured.out, captured.err


def test_a_score_beside_what_needs_no_network(folder, capsys):
    code, out, _ = run(capsys, "one.json", "--scores", "mine.csv", *FEW)
    assert code == 0
    assert "Accuracies(4 data sets, 6 models): data0, data1, data2, data3" in out
    for word in (
        "the outer names are data sets",
        "4 data sets, 6 models; 95 % intervals",
        "popularity",
        "random",
        "regret@3",
        "one of the 5 best",
        "weighted kendall of mine less that of the static ranker",
    ):
        assert word in out
    assert "reliability" not in out


def test_json_is_what_python_gives(folder, capsys):
    arguments = ("accuracies.py", "--kind", "full", "--other-kind", "head", "--scores", "mine.csv")
    code, out, _ = run(capsys, *arguments, "--relevant", 2, *FEW, "--seed", 3, "--json")
    assert code == 0
    printed = json.loads(out)
    truth, head = (read_accuracies("accuracies.py", kind=kind) for kind in ("full", "head"))
    (scores,) = read_all_accuracies("mine.csv", unit="raw").values()
    settings = {"samples": 200, "seed": 3}
    judged = judge_scores(truth, {"mine": scores}, relevant=2, **settings).to_dict()
    assert {key: printed[key] for key in judged} == judged
    assert printed["agreement"] == rank_agreement(truth, head, **settings).to_dict()
    assert printed["reliability"] is None
    assert (printed["kind"], printed["notes"]) == ("full", ["the outer names are data sets"])
    assert (printed["samples"], printed["level"]) == (200, 0.95)


def test_columns_and_seeds(folder, capsys):
    code, _, err = run(capsys, "seeds.csv")
    assert code == 2
    assert "--column=None: expected what the column 'data' is, which has no numbers" in err
    columns = ("model=net", "dataset=data", "accuracy=correct", "seed=run")
    options = [word for text in columns for word in ("--column", text)]
    code, out, _ = run(capsys, "seeds.csv", *options, *FEW)
    assert code == 0
    assert "up to 3 seeds" in out
    assert "reliability on 4 data sets: halves of the seeds agree at" in out
    code, out, _ = run(capsys, "seeds.csv", *options, *FEW, "--json")
    read = {"model": "net", "dataset": "data", "accuracy": "correct", "seed": "run"}
    found = read_accuracies("seeds.csv", columns=read)
    expected = reliability(found, samples=200).to_dict()
    assert json.loads(out)["reliability"] == json.loads(json.dumps(expected))
    code, out, _ = run(capsys, "seeds.csv", *options, "--where", "run=1", *FEW)
    assert code == 0
    assert "seeds" not in out


def test_two_truths(folder, capsys):
    code, out, _ = run(capsys, "one.json", "--other", "accuracies.py", "--other-kind", "head", *FEW)
    assert code == 0
    assert "both truths: spearman" in out
    assert "mean, over data sets" in out


def test_every_kind_of_a_file_of_scores_is_a_score(folder, capsys):
    code, out, _ = run(capsys, "one.json", "--scores", "accuracies.py", *FEW, "--json")
    assert code == 0
    methods = list(json.loads(out)["methods"])
    assert methods == [
        "accuracies: full",
        "accuracies: head",
        "static ranker",
        "popularity",
        "random",
    ]


def test_names_that_only_the_truth_explains(folder, capsys):
    values = {"x": {"a": 0.1, "b": 0.5, "c": 0.3}, "y": {"a": 0.2, "b": 0.4, "c": 0.3}}
    (folder / "plain.json").write_text(json.dumps(values))
    turned = {m: {d: values[d][m] for d in values} for m in "abc"}
    (folder / "turned.json").write_text(json.dumps(turned))
    arguments = ("plain.json", "--rows", "datasets", *FEW, "--json")
    code, out, _ = run(capsys, *arguments, "--scores", "plain.json", "--scores", "turned.json")
    assert code == 0
    methods = json.loads(out)["methods"]
    assert methods["plain"] == methods["turned"]
    assert methods["plain"]["spearman"]["value"] == pytest.approx(1)


def test_scores_that_are_not_clear(folder, capsys):
    (folder / "two.csv").write_text("model,arch,dataset,score\na,b,c,1\n")
    code, _, err = run(capsys, "one.json", "--scores", "two.csv")
    assert code == 2
    assert "scores='two.csv'" in err
    assert "which of ['model', 'arch'] is for 'model'" in err


def test_what_is_left_out_is_said(folder, capsys):
    (folder / "part.json").write_text(
        json.dumps(
            {
                "data0": {m: i for i, m in enumerate(MODELS[:5])},
                "data1": {MODELS[0]: 1, MODELS[1]: 2},
            }
        )
    )
    code, out, _ = run(capsys, "one.json", "--scores", "part.json", *FEW)
    assert code == 0
    assert "left out, with too few models to rank: data1" in out
    assert "3 accuracies do not count, as a score lacks them" in out
    (folder / "single.json").write_text(
        json.dumps({"data0": {m: i / 9 for i, m in enumerate(MODELS)}})
    )
    code, out, _ = run(capsys, "single.json", *FEW)
    assert code == 0
    assert "need a second data set" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.csv"], "FILE='missing.csv': expected an existing file"),
        (["one.json", "--scores", "no.csv"], "scores='no.csv'"),
        (["one.json", "--other", "no.csv"], "other='no.csv'"),
        (["accuracies.py"], "kind=None: expected one of ['full', 'head']"),
        (["one.json", "--column", "model"], "column='model': expected ROLE=NAME"),
        (["one.json", "--column", "model=a"], "file without columns"),
        (["seeds.csv", "--where", "=1"], "where='=1'"),
        (["one.json", "--rows", "lines"], "rows='lines'"),
        (["one.json", "--unit", "%"], "unit='%'"),
        (["one.json", "--scores", "mine.csv", "--scores", "mine.csv"], "files of different names"),
    ],
)
def test_wrong_arguments(folder, capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_damaged_file(folder, capsys):
    (folder / "broken.json").write_text("{")
    code, out, _ = run(capsys, "broken.json", "--json")
    assert code == 1
    assert json.loads(out)["error"]["message"].startswith("broken.json: not JSON")
