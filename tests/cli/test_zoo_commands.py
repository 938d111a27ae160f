"""``pyattrx zoo ...`` and ``pyattrx query`` as a user meets them."""

import contextlib
import json
import sqlite3

import pytest
from cli.test_cli import folder  # noqa: F401

import pyattrx
from pyattrx.cli import main
from pyattrx.methods import get as get_method


@pytest.fixture
def run(folder, capsys):  # noqa: F811
    def run(*arguments, code=0):
        with pytest.raises(SystemExit) as exit_:
            main([str(a) for a in arguments])
        out = capsys.readouterr()
        assert exit_.value.code == code, out.err
        return out

    return run


@pytest.fixture
def zoo(run):
    run("zoo", "create", "z", "--probes", "photos", "--size", 16, "--method", "saliency")
    run("zoo", "add", "z", "nets.py:first", "nets.py:second", "-t", "small", "-t", "good")
    return "z"


def test_from_nothing_to_an_answer(run, zoo):
    assert "nets.py:second" in run("zoo", "list", zoo).out
    answer = run("query", zoo, "nets.py:first").out
    assert "nets.py:second" in answer
    assert "1 of 1 networks compared; 5 probes seen" in answer
    assert "everything is as it was written" in run("zoo", "verify", zoo).out
    assert "weights_hash" in run("zoo", "show", zoo, "nets.py:first").out
    assert "1 networks are left" in run("zoo", "remove", zoo, "nets.py:first").out
    # It is not in the zoo any more: now it is loaded and run.
    assert "nets.py:second" in run("query", zoo, "nets.py:first", "--confident").out


def test_json_of_every_command(run, zoo):
    listed = json.loads(run("zoo", "list", zoo, "--json").out)
    assert [entry["name"] for entry in listed["entries"]] == ["nets.py:first", "nets.py:second"]
    assert listed["entries"][0]["tags"] == ["good", "small"]
    found = json.loads(run("query", zoo, "nets.py:first", "--json").out)
    direct = pyattrx.Zoo.open(zoo).query("nets.py:first")
    assert found["matches"] == [match.to_dict() for match in direct]
    assert found["complete"] is True
    assert json.loads(run("zoo", "verify", zoo, "--json").out)["ok"] is True
    assert json.loads(run("zoo", "show", zoo, "nets.py:first", "--json").out)["specification"]
    tagged = json.loads(run("zoo", "tag", zoo, "nets.py:first", "new", "--json").out)
    assert tagged["tags"] == ["good", "new", "small"]
    tagged = json.loads(run("zoo", "tag", zoo, "nets.py:first", "--json", "--", "-new").out)
    assert tagged["tags"] == ["good", "small"]
    made = ["zoo", "create", "y", "--probes", "photos", "--size", 16, "--method", "saliency"]
    assert json.loads(run(*made, "--json").out)["networks"] == 0
    merged = json.loads(run("zoo", "merge", "y", zoo, "--json").out)
    assert merged["added"] == ["nets.py:first", "nets.py:second"]
    removed = json.loads(run("zoo", "remove", zoo, "nets.py:first", "--json").out)
    assert removed == {"removed": ["nets.py:first"], "networks": 1}


def test_adding_goes_on_and_reports_what_fails(run, zoo):
    out = run("zoo", "add", zoo, "nets.py:first", "nets.py:explodes", "nets.py:slow", code=1)
    assert "there already: nets.py:first" in out.out
    assert "failed: nets.py:explodes: " in out.out
    assert "added nets.py:slow" in out.out
    out = run("zoo", "add", zoo, "nets.py:nothing_of_this_name", "--json", code=1)
    assert list(json.loads(out.out)["failed"]) == ["nets.py:nothing_of_this_name"]


def test_more_probes(run):
    create = ["zoo", "create", "z", "--probes", "photos", "--size", 16, "--limit", 3]
    run(*create, "--method", "saliency")
    run("zoo", "add", "z", "nets.py:first", "nets.py:second")
    more = ["zoo", "add-probes", "z", "--probes", "photos"]
    assert "the zoo's 3 probes" in run(*more, "--limit", 3, code=2).err
    grown = json.loads(run(*more, "--limit", 4, "--json").out)
    assert (grown["added"], grown["probes"]) == (["nets.py:first", "nets.py:second"], 4)
    assert "the zoo has 5 probes" in run(*more).out
    assert json.loads(run("query", "z", "nets.py:first", "--json").out)["n_probes"] == 5
    assert "everything is as it was written" in run("zoo", "verify", "z").out


def test_fidelity(run):
    create = ["zoo", "create", "z", "--probes", "photos", "--size", 16, "--method", "saliency"]
    run(*create, "--pixels", 40, "--storage", "int8")
    run("zoo", "add", "z", "nets.py:first", "nets.py:second")
    found = json.loads(run("zoo", "fidelity", "z", "--json").out)
    assert found["networks"] == ["nets.py:first", "nets.py:second"]
    assert found["method"] == "saliency, pixels=40, storage=int8"
    assert found["whole"] == "saliency"
    assert found["n_probes"] == 5
    assert 0 < found["rms"] < 1
    assert found["largest"] == pytest.approx(found["rms"])  # of the only pair
    assert "the nearest source is the same for 100%" in run("zoo", "fidelity", "z").out
    run("zoo", "remove", "z", "nets.py:first")
    assert "two or more networks" in run("zoo", "fidelity", "z", code=2).err
    given = ["nets.py:first", "nets.py:second", "nets.py:slow"]
    assert json.loads(run("zoo", "fidelity", "z", *given, "--json").out)["k"] == 2


def test_a_tag_that_no_network_has(run, zoo):
    run("zoo", "tag", zoo, "nets.py:second", "other")
    said = run("query", zoo, "nets.py:first", "--tag", "othr").out
    assert "has the tags othr; did you mean 'other'?" in said
    said = run("query", zoo, "nets.py:first", "--tag", "unlike").out
    assert "has the tags unlike; its tags are" in said and "other" in said


def test_tags_choose(run, zoo):
    run("zoo", "tag", zoo, "nets.py:second", "other")
    found = run("query", zoo, "nets.py:first", "--tag", "other", "--json")
    assert [m["name"] for m in json.loads(found.out)["matches"]] == ["nets.py:second"]
    assert (
        json.loads(run("query", zoo, "nets.py:first", "-t", "none", "--json").out)["matches"] == []
    )


def test_damage_is_an_exit_code(run, zoo, folder):  # noqa: F811
    rows = folder / zoo / "rows" / "000001.rows"
    data = bytearray(rows.read_bytes())
    data[10] ^= 1
    rows.write_bytes(data)
    out = run("zoo", "verify", zoo, code=1).out
    assert "nets.py:first: 000001.rows: row at byte 0" in out


def test_several_targets_in_one_go(run, zoo):
    targets = ("nets.py:first", "nets.py:second", "nets.py:first?features=0")
    alone = [json.loads(run("query", zoo, target, "--json").out) for target in targets]
    assert json.loads(run("query", zoo, *targets, "--json").out) == alone
    said = run("query", zoo, *targets).out
    assert "nets.py:first: 1 of 1 networks compared" in said
    assert f"{targets[2]}: 2 of 2 networks compared" in said
    assert "SPEC[1]='nets.py'" in run("query", zoo, targets[0], "nets.py", code=2).err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("query", "nowhere", "x"), 2, "ZOO='nowhere'"),
        (("query", "z", "nothing"), 2, "SPEC='nothing'"),
        (("zoo", "show", "z", "nets.py:frist"), 2, "for example 'nets.py:first'"),
        (("zoo", "remove", "z", "nets.py:first", "nobody"), 2, "name='nobody'"),
        (("zoo", "create", "z", "--probes", "photos"), 2, "there is a zoo already"),
        (("zoo", "create", "y", "--probes", "photos", "--storage", "int3"), 2, "storage='int3'"),
        (("query", "z", "nets.py:first", "-k", "0"), 2, "k=0"),
    ],
)
def test_mistakes_are_explained(run, zoo, arguments, code, message):
    assert message in run(*arguments, code=code).err
    assert len(pyattrx.Zoo.open(zoo)) == 2


def test_a_zoo_is_made_for_the_recommended_method(run, folder):  # noqa: F811
    made = ["zoo", "create", "r", "--probes", "photos", "--size", 16, "--pixels", 64, "--json"]
    found = json.loads(run(*made).out)
    assert found["methods"] == ["saliency, scalar=half_squared_norm, pixels=64"]
    assert found["rerank"] == get_method("recommended").to_dict()
    wrong = run("zoo", "create", "s", "--probes", "photos", "--scalar", "sum", code=2)
    assert "scalar='sum': expected nothing: recommended has half_squared_norm" in wrong.err
    wrong = run("zoo", "create", "s", "--probes", "photos", "--steps", 3, code=2)
    assert "--steps=3: expected nothing: recommended follows no path" in wrong.err


def test_reranking(run, folder):  # noqa: F811
    made = ["zoo", "create", "r", "--probes", "photos", "--size", 16, "--rerank", "cka", "--json"]
    assert json.loads(run(*made).out)["rerank"] == {"kind": "cka"}
    run("zoo", "add", "r", "nets.py:first", "nets.py:second")
    found = json.loads(run("query", "r", "nets.py:first", "--rerank", "cka", "--json").out)
    with pyattrx.Zoo.open("r") as opened:
        direct = opened.query("nets.py:first", rerank="cka")
    assert found["matches"] == [match.to_dict() for match in direct]
    assert found["reranked_by"] == "cka"
    left_out = json.loads(run("query", "r", "nets.py:first", "--json").out)
    assert left_out["matches"] == found["matches"]
    by_maps = run("query", "r", "nets.py:first", "--by-maps", "--json")
    assert json.loads(by_maps.out)["reranked_by"] is None
    wrong = run("query", "r", "nets.py:first", "--by-maps", "--rerank", "cka", code=2)
    assert "rerank='cka'" in wrong.err
    said = run("query", "r", "nets.py:first", "--rerank", "cka").out
    assert (
        "Nearest sources, saliency, scalar=half_squared_norm, the nearest 1 re-ranked by cka"
        in said
    )
    assert (
        "expected this zoo's 'cka'"
        in run("query", "r", "nets.py:first", "--rerank", "rsa", code=2).err
    )


def test_a_damaged_description_does_not_stop_commands(run, zoo):
    with contextlib.closing(sqlite3.connect(f"{zoo}/zoo.sqlite")) as connection:
        connection.execute("UPDATE entries SET facts = '{}' WHERE name = 'nets.py:first'")
        connection.commit()
    with pytest.warns(UserWarning, match="nets.py:first"):
        assert "nets.py:second" in run("zoo", "list", zoo).out
    assert "good, new, small" in run("zoo", "tag", zoo, "nets.py:first", "new").out
    assert "description is damaged" in run("zoo", "show", zoo, "nets.py:first", code=1).err
    assert "1 networks are left" in run("zoo", "remove", zoo, "nets.py:first").out


def test_replacing(run, zoo, folder):  # noqa: F811
    text = (folder / "nets.py").read_text()
    (folder / "nets.py").write_text(text + "\nfirst = slow\n")
    assert "; --replace puts" in run("zoo", "add", zoo, "nets.py:first", code=1).out
    assert "added nets.py:first" in run("zoo", "add", zoo, "nets.py:first", "--replace").out


def test_answers_are_told_as_they_are(run, zoo, folder):  # noqa: F811
    with pyattrx.Zoo.open(zoo) as opened:
        network = pyattrx.load("nets.py:first")
        network.name = ":x:"
        opened.add(network)
    out = run("query", zoo, "nets.py:second", "--confident", "--level", 0.5).out
    assert ":x:" in out
    assert "50 % interval" in out
    assert "its maps are in the zoo" in out
    run("zoo", "remove", zoo, "nets.py:second")
    out = run("query", zoo, "nets.py:second", "--confident", "-k", 1).out
    assert "95 % interval" in out
    assert "too few groups of probes" in out


def test_shares_come_together_again(run, zoo):
    names = ["nets.py:first", "nets.py:second", "nets.py:slow"]
    for part in (1, 2, 3, 4):
        create = ["zoo", "create", f"part-{part}", "--probes", "photos", "--size", 16]
        run(*create, "--method", "saliency")
        added = json.loads(
            run("zoo", "add", f"part-{part}", *names, "--shard", f"{part}/4", "--json").out
        )
        assert added["failed"] == {}
        # As many as there are, and one of four has none.
        assert (len(added["added"]), added["networks"]) == ((1, 1) if part < 4 else (0, 0))
    parts = [f"part-{part}" for part in (1, 2, 3, 4)]
    found = json.loads(run("zoo", "merge", zoo, *parts, "--json").out)
    assert sorted([*found["added"], *found["skipped"]]) == sorted(names)
    assert found["added"] == ["nets.py:slow"]
    assert found["networks"] == 3


@pytest.mark.parametrize("shard", ["0/4", "5/4", "3", "a/b", "-1/2", "1/0", ""])
def test_a_share_that_is_none(run, zoo, shard):
    err = run("zoo", "add", zoo, "nets.py:first", f"--shard={shard}", code=2).err
    assert f"--shard={shard!r}: expected I/N with I from 1 to N" in err


def test_nothing_is_merged_before_all_zoos_are_there(run, zoo):
    run("zoo", "create", "y", "--probes", "photos", "--size", 16, "--method", "saliency")
    assert "nowhere" in run("zoo", "merge", "y", zoo, "nowhere", code=2).err
    assert json.loads(run("zoo", "list", "y", "--json").out)["networks"] == 0


@pytest.mark.parametrize("workers", ["0", "-2", "many", "2.5"])
def test_workers_that_are_none(run, zoo, workers):
    for command in (
        ["zoo", "add", zoo, "nets.py:first"],
        ["zoo", "add-probes", zoo, "--probes", "photos"],
        ["affinity", "nets.py:first", "--probes", "photos"],
        ["recommend", "photos", "nets.py:first", "nets.py:second"],
    ):
        err = run(*command, f"--workers={workers}", code=2).err
        assert "--workers=" in err
        assert "expected" in err


def test_workers(run):
    run("zoo", "create", "z", "--probes", "photos", "--size", 16, "--method", "saliency")
    added = ["zoo", "add", "z", "nets.py:first", "nets.py:explodes", "--workers", 1, "--json"]
    out = run(*added, code=1)
    report = json.loads(out.out)
    assert report["added"] == ["nets.py:first"]
    assert "NaN or Inf" in report["failed"]["nets.py:explodes"]
