"""Published accuracy on ImageNet: a fact where it is known, a rule of thumb, and never a guess."""

import pytest
import torch
from colours import Channels, ask, encoders

import pyattrx
from pyattrx.encoders.imagenet import TABLE, imagenet_top1
from pyattrx.errors import InvalidValueError
from pyattrx.features import extract
from pyattrx.recommending.table import as_text

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def table(tmp_path, monkeypatch):
    def write(text):
        path = tmp_path / "results.csv"
        path.write_bytes(text.encode())
        monkeypatch.setenv(TABLE, str(path))

    monkeypatch.delenv(TABLE, raising=False)
    return write


def named(name="net", **known):
    encoder = pyattrx.Encoder(Channels(0), name=name)
    encoder.known |= known
    return encoder


def test_what_the_loader_knows_comes_before_the_table(table):
    assert imagenet_top1(named()) is None
    table("model,top1,top5\nr18.a1,71.5,90\nnet,60,80\nnet,59,79\n")
    assert imagenet_top1(named()) == 60
    assert imagenet_top1(named(model="r18.a1")) == 71.5
    assert imagenet_top1(named(model="r18.a1", imagenet_top1=70.0)) == 70
    assert imagenet_top1(named("other", model="r18")) is None
    table("\ufefftop1,model\n12,other\n")  # as spreadsheets write it; and read anew
    assert imagenet_top1(named("other")) == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,top1\nnet,3\n", "columns model and top1"),
        ("", "columns model and top1"),
        ("model,top1\nnet,high\n", "top1 of 'net': 'high'"),
        ("model,top1\nnet\n", "top1 of 'net': None"),
        ("model,top1\nnet,101\n", "percent"),
        ("model,top1\nnet,nan\n", "percent"),
    ],
)
def test_other_tables_are_refused_before_any_work(table, text, message):
    table(text)
    calls = []
    encoder = named()
    encoder.module.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(InvalidValueError, match=f"{TABLE}=.*{message}"):
        extract(encoder, pyattrx.Probes.from_tensor(torch.rand(2, 3, 8, 8)))
    assert not calls


def test_a_table_that_is_not_there(monkeypatch):
    monkeypatch.setenv(TABLE, "no/such.csv")
    with pytest.raises(InvalidValueError, match=r"PYATTRX_IMAGENET='no/such.csv': .*existing"):
        imagenet_top1(named())


def test_it_is_shown_beside_the_answer(table, tmp_path):
    assert "ImageNet" not in str(ask())
    table("model,top1\nred,70.25\ngreen,65\nblue,60\nred and green,64\n")
    result = ask()
    assert result["red"].facts["imagenet_top1"] == 70.25
    assert "imagenet_top1" in result.as_csv().splitlines()[0]
    again = pyattrx.Recommendation.load(result.save(tmp_path / "answer.npz"))
    assert str(again) == str(result)
    header, _, *rows = as_text(result, 140).splitlines()[3:9]
    assert "ImageNet" in header
    assert any("70.2" in row and "red" in row for row in rows)


@pytest.mark.parametrize("missing", [True, False])
def test_it_is_a_rule_of_thumb(table, missing):
    rows = {"red": 70, "green": 65, "blue": 60, "red and green": 64}
    if missing:
        del rows["blue"]
    table("model,top1\n" + "".join(f"{name},{top1}\n" for name, top1 in rows.items()))
    rule = f"highest {'known ' if missing else ''}ImageNet accuracy"
    result = ask([one for one in encoders() if one.name != "red and green"])
    assert result.names[0] == "red"
    assert any(note.startswith("The first is also") and rule in note for note in result.notes)
    rows["red"] = 1
    table("model,top1\n" + "".join(f"{name},{top1}\n" for name, top1 in rows.items()))
    result = ask([one for one in encoders() if one.name != "red and green"])
    assert not any("ImageNet" in note for note in result.notes)  # it names another, and worse, one


def test_networks_of_timm_have_their_name_and_weights_looked_up(monkeypatch, table):
    timm = pytest.importorskip("timm", exc_type=ImportError)
    made = timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda name, pretrained, **more: made(name, pretrained=False, **more)
    )
    table("model,top1\nresnet10t.c3_in1k,68.5\nresnet10t,1\n")
    assert imagenet_top1(pyattrx.load("timm:resnet10t")) == 68.5
    assert imagenet_top1(pyattrx.load("timm:resnet10t@random")) is None
