"""``pyattrx evaluate`` as a user meets it."""

import json
import pickle
import shutil

import numpy as np
import pytest

import pyattrx
from pyattrx.cli import main
from pyattrx.evaluate import Table, precision_at_k, read_table, spearman, write_table

NAMES = list("abcdefgh")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    truth = Table(rng.normal(size=(7, 8)), NAMES[:7], NAMES)
    write_table(truth, "truth.csv")
    write_table(truth.with_values(truth.values + rng.normal(size=(7, 8)) * 0.3), "good.csv")
    write_table(truth.with_values(rng.normal(size=(7, 8))), "bad.csv")
    cosines = rng.normal(size=(5, 8, 8))
    pyattrx.Affinity(
        NAMES, cosines.mean(0), np.zeros((8, 8)), False, np.array([0, 0, 1, 2, 3]), cosines
    ).save("saved.npz")
    return tmp_path


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *map(str, arguments)])
    captured = capsys.readouterr()
    return stop.value.code or 0, captured.out, captured.err


FEW = ("--bootstrap", 200)


def test_a_table_with_intervals(folder, capsys):
    code, out, _ = run(capsys, "good.csv", "truth.csv", *FEW)
    assert code == 0
    assert "7 targets, 8 sources, the 5 best of a target relevant; 95 % intervals" in out
    value = spearman(read_table("good.csv"), read_table("truth.csv"))
    assert f"{value:.3f} (" in out
    assert "left out" not in out


def test_json_is_what_python_gives(folder, capsys):
    code, out, _ = run(
        capsys, "good.csv", "truth.csv", "--json", "--k", "2", "--relevant", 3, *FEW, "--seed", 4
    )
    assert code == 0
    printed = json.loads(out)
    affinity, truth = read_table("good.csv"), read_table("truth.csv")
    expected = pyattrx.evaluate.summarize(
        {"good": [(affinity, truth)]}, k=[2], relevant=3, samples=200, seed=4
    )["good"]
    assert printed["methods"] == {"good": {m: e.to_dict() for m, e in expected.items()}}
    assert printed["methods"]["good"]["P@2"]["value"] == pytest.approx(
        precision_at_k(affinity, truth, 2, 3)
    )
    assert (printed["targets"], printed["sources"]) == (NAMES[:7], NAMES)
    assert (printed["samples"], printed["seed"], printed["level"]) == (200, 4, 0.95)


def test_baselines_families_and_a_retest(folder, capsys):
    (folder / "families.csv").write_text(
        "name,family\n" + "".join(f"{name},{i % 2}\n" for i, name in enumerate(NAMES))
    )
    more = ("--baselines", "--families", "families.csv", "--retest", "good.csv")
    code, out, _ = run(capsys, "good.csv", "truth.csv", *more, *FEW)
    assert code == 0
    for name in ("random", "family only", "source popularity", "symmetrised truth", "retest"):
        assert name in out
    assert "0.714" in out  # five of seven candidates are relevant
    assert "regret@1" in out
    assert "what is lost" in out
    code, out, _ = run(capsys, "good.csv", "truth.csv", *more, *FEW, "--json")
    found = json.loads(out)["methods"]
    assert found["retest (ceiling)"] == found["good"]


def test_methods_are_compared_on_the_same_draws(folder, capsys):
    arguments = ("good.csv", "truth.csv", "--against", "bad.csv")
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    assert "spearman of good less that of bad: " in out
    code, out, _ = run(capsys, *arguments, "--json")
    difference = json.loads(out)["spearman_less_that_of"]["bad"]
    assert difference["low"] > 0
    assert difference["p_value"] < 0.05


def test_names_that_match_partly(folder, capsys):
    part = read_table("truth.csv").select(NAMES[1:7], NAMES[:7])
    write_table(part.renamed({"b": "other"}), "part.csv")
    code, out, _ = run(capsys, "good.csv", "part.csv", "--relevant", 3, "--k", "1", *FEW)
    assert code == 0
    assert "5 targets, 6 sources" in out
    assert "left out targets of the truth that others lack: other" in out
    assert "left out sources of good that others lack: b, h" in out
    (folder / "names.csv").write_text("mine,theirs\nb,other\n")
    code, out, _ = run(
        capsys, "good.csv", "part.csv", "--names", "names.csv", "--json", "--k", "1", *FEW
    )
    assert code == 0
    assert json.loads(out)["left_out"] == {
        "the truth": {"targets": [], "sources": []},
        "good": {"targets": ["a"], "sources": ["h"]},
    }


def test_saved_affinities_bring_their_probes(folder, capsys):
    code, out, _ = run(capsys, "saved.npz", "truth.csv", *FEW)
    assert code == 0
    assert "intervals over targets and probes" in out
    code, out, _ = run(capsys, "saved.npz", "truth.csv", *FEW, "--json")
    probed = json.loads(out)["methods"]["saved"]["spearman"]
    loaded = pyattrx.Affinity.load("saved.npz")
    write_table(loaded, "plain.csv")
    code, out, _ = run(capsys, "plain.csv", "truth.csv", *FEW, "--json")
    plain = json.loads(out)["methods"]["plain"]["spearman"]
    shutil.copy("saved.npz", "saved.NPZ")
    code, out, _ = run(capsys, "saved.NPZ", "truth.csv", *FEW, "--json")
    assert json.loads(out)["methods"]["saved"]["spearman"] == probed
    assert probed["value"] == pytest.approx(plain["value"])
    assert probed["high"] - probed["low"] > plain["high"] - plain["low"]


def test_the_published_pickle_as_truth(folder, capsys):
    truth = read_table("truth.csv")
    flat = {
        f"{s}__{t}": float(truth.values[i, j])
        for i, t in enumerate(truth.targets)
        for j, s in enumerate(truth.sources)
    }
    (folder / "truth.pkl").write_bytes(pickle.dumps({**flat, "a__b__c": 1.0}, 2))
    code, out, _ = run(capsys, "good.csv", "truth.pkl", "--json", *FEW)
    assert code == 0
    _, expected, _ = run(capsys, "good.csv", "truth.csv", "--json", *FEW)
    assert json.loads(out)["methods"] == json.loads(expected)["methods"]


def test_a_picture_with_published_curves(folder, capsys):
    (folder / "curves.csv").write_text("method,P@1,P@5\nsaliency,0.7,0.5\n")
    code, out, _ = run(
        capsys,
        *("good.csv", "truth.csv", "--baselines", "--picture", "out.svg"),
        *("--curves", "curves.csv", *FEW),
    )
    assert code == 0
    assert "wrote out.svg" in out
    drawn = (folder / "out.svg").read_text()
    for label in ("good", "random", "source popularity", "saliency", "P@K", "R@K"):
        assert f">{label}</text>" in drawn


def test_few_networks_need_no_options(folder, capsys):
    (folder / "four.csv").write_text(",a,b,c,d\na,1,2,3,4\nb,2,1,5,1\nc,3,4,1,9\nd,1,2,3,1\n")
    code, out, err = run(capsys, "four.csv", "four.csv", "--picture", "p.png", *FEW)
    assert code == 0, err
    assert "4 targets, 4 sources, the 1 best of a target relevant" in out
    assert "P@3" in out
    assert "P@5" not in out
    (folder / "misspelt.csv").write_text(",a,b,c,dd\na,1,2,3,4\nb,2,1,5,1\nc,3,4,1,9\n")
    code, out, err = run(capsys, "four.csv", "misspelt.csv", *FEW)
    assert code == 0, err
    assert "left out sources of the truth that others lack: dd" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["good.csv"], 2, "Missing argument"),
        (["absent.csv", "truth.csv"], 2, "absent.csv"),
        (["absent.npz", "truth.csv"], 2, "absent.npz"),
        (["good.txt", "truth.csv"], 2, ".csv"),
        (["good.csv", "truth.csv", "--k", "0"], 2, "1,3,5"),
        (["good.csv", "truth.csv", "--k", "8"], 2, "k=8"),
        (["good.csv", "truth.csv", "--relevant", "8"], 2, "relevant=8"),
        (["good.csv", "truth.csv", "--bootstrap", "5"], 2, "samples=5"),
        (["good.csv", "truth.csv", "--level", "95"], 2, "level=95"),
        (["good.csv", "truth.csv", "--curves", "curves.csv"], 2, "--picture"),
        (["good.csv", "truth.csv", "--picture", "out.pdf"], 2, ".png or .svg"),
        (["good.csv", "truth.csv", "--against", "good.csv"], 2, "different names"),
        (["good.csv", "strangers.csv"], 2, "at least one target"),
        (["holes.csv", "truth.csv"], 2, "AFFINITY=nan"),
        (["broken.npz", "truth.csv"], 1, "not a saved affinity"),
        (["good.csv", "harm.pkl"], 1, "wants to import"),
    ],
)
def test_what_goes_wrong_is_said(folder, capsys, arguments, code, message):
    (folder / "strangers.csv").write_text(",x,y\nx,1,2\ny,3,4\n")
    (folder / "good.txt").write_text("good")
    (folder / "broken.npz").write_text("no archive")
    (folder / "harm.pkl").write_bytes(b"cos\nsystem\n(S'touch made'\ntR.")
    holes = read_table("good.csv")
    holes.values[2, 4] = np.nan
    write_table(holes, "holes.csv")
    got, _, err = run(capsys, *arguments)
    assert got == code, err
    assert message in err
    assert "Traceback" not in err
    assert not (folder / "made").exists()
