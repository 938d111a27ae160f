"""Which networks there are: patterns, limits, and curated lists."""

import json
import sys
import types
from fnmatch import fnmatch
from pathlib import Path

import pytest
from torch import nn

import pyattrx
from pyattrx.cli import app, run
from pyattrx.encoders import expand
from pyattrx.encoders.curated import CURATED
from pyattrx.errors import (
    InvalidTypeError,
    InvalidValueError,
    MissingDependencyError,
    SkippedWarning,
)

# Name, side of the input, and width of a convolution of 3 x 3 on three channels, without bias.
MODELS = {"tiny.a": (224, 1), "tiny.b": (96, 1), "big.a": (224, 100), "odd.a": (224, None)}


@pytest.fixture
def timm(monkeypatch):
    made = types.ModuleType("timm")
    made.built = []

    def list_models(pattern, pretrained=False):
        names = MODELS if pretrained else sorted({name.partition(".")[0] for name in MODELS})
        return [name for name in names if fnmatch(name, pattern)]

    def known(name):
        side, width = MODELS[name if "." in name else f"{name}.a"]
        return types.SimpleNamespace(input_size=(3, side, side), width=width)

    def create_model(name, pretrained, num_classes):
        assert pretrained is False and num_classes == 0
        made.built.append(name)
        width = known(name).width
        if width is None:
            raise RuntimeError("wants numbers\nmore of it")
        layer = nn.Conv2d(3, width, 3, bias=False)
        assert layer.weight.is_meta
        return layer

    made.list_models, made.create_model, made.get_pretrained_cfg = list_models, create_model, known
    monkeypatch.setitem(sys.modules, "timm", made)
    return made


def test_patterns(timm):
    assert pyattrx.list_models("timm:*.a") == ["timm:tiny.a", "timm:big.a", "timm:odd.a"]
    assert pyattrx.list_models("timm:ti*", pretrained=False) == ["timm:tiny@random"]
    assert pyattrx.list_models("timm:ti*@random=3") == ["timm:tiny@random=3"]
    with_layer = pyattrx.list_models("timm:ti*?features=stem", pretrained=False)
    assert with_layer == ["timm:tiny@random?features=stem"]
    assert pyattrx.list_models("timm:tiny.a") == ["timm:tiny.a"]
    assert timm.built == []


def test_size_of_the_input(timm):
    assert pyattrx.list_models("timm:tiny*", input_size=96) == ["timm:tiny.b"]
    assert pyattrx.list_models("timm:tiny*", input_size=97) == []
    assert pyattrx.list_models("timm:t*", pretrained=False, input_size=224) == ["timm:tiny@random"]


@pytest.mark.parametrize(("most", "big"), [(2700, True), (2699, False), ("2.7k", True)])
def test_parameters_are_those_of_the_network_without_weights(timm, most, big):
    found = pyattrx.list_models("timm:[tb]i*.a", max_params=most)
    assert found == ["timm:tiny.a", *(["timm:big.a"] if big else [])]


@pytest.mark.parametrize("most", ["1B", "1.5b", "3M", "3_000_000", 3_000_000])
def test_counts(timm, most):
    assert "timm:big.a" in pyattrx.list_models("timm:big*", max_params=most)


def test_what_cannot_be_counted_is_said(timm):
    with pytest.warns(SkippedWarning, match=r"timm:odd\.a: RuntimeError: wants numbers$"):
        assert "timm:odd.a" not in pyattrx.list_models("timm:*.a", max_params="1M")


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"pattern": 3}, InvalidTypeError, "pattern=3 .*timm:"),
        ({"pattern": "transformers:x"}, InvalidValueError, "pattern='transformers:x'.*timm:PATT"),
        ({"pattern": "timm:nothing"}, InvalidValueError, "a pattern that timm has models for"),
        ({"pattern": "timm:nothing*"}, InvalidValueError, "a pattern that timm has models for"),
        ({"pattern": "timm:nothing@random"}, InvalidValueError, "a pattern that timm has models"),
        ({"pattern": "@small"}, InvalidValueError, "pattern='@small'.*timm: before"),
        ({"pattern": "torchvision:@small"}, InvalidValueError, "timm: before"),
        ({"pattern": "timm:@smal"}, InvalidValueError, "timm:@small, .*did you mean 'small'"),
        ({"pattern": "timm:@small@v2"}, InvalidValueError, "@random"),
        ({"max_params": "many"}, InvalidValueError, "max_params='many'.*'30M'"),
        ({"max_params": 0}, InvalidValueError, "max_params=0.*positive"),
        ({"max_params": True}, InvalidTypeError, "max_params=True.*'30M'"),
        ({"max_params": 1.5}, InvalidTypeError, r"max_params=1\.5.*'30M'"),
        ({"input_size": "224"}, InvalidTypeError, "input_size='224'.*whole number"),
        ({"input_size": 0}, InvalidValueError, "input_size=0.*at least 1"),
        ({"pretrained": "yes"}, InvalidTypeError, "pretrained='yes'.*True or False"),
    ],
)
def test_wrong_arguments(timm, arguments, kind, message):
    with pytest.raises(kind, match=message):
        pyattrx.list_models(**{"pattern": "timm:*", **arguments})


@pytest.mark.parametrize("pattern", ["timm:*", "*"])
def test_without_the_packages(monkeypatch, pattern):
    for name in ("timm", "torchvision"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    with pytest.raises(MissingDependencyError, match="pip install timm"):
        pyattrx.list_models(pattern)


@pytest.mark.parametrize("title", CURATED)
def test_curated_lists(title):
    names = expand(f"timm:@{title}")
    assert names == [f"timm:{name}" for name in CURATED[title]]
    assert len(names) == 20
    assert expand(f"timm:@{title}@random=2")[0] == f"{names[0]}@random=2"
    assert expand(f"timm:@{title}?output=stem")[0] == f"{names[0]}?output=stem"
    assert all(CURATED[title].values())


def test_the_page_has_the_lists_and_their_reasons():
    page = Path(__file__).parents[2] / "docs" / "models.md"
    rows = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    for title, names in CURATED.items():
        start = rows.index(f"| `timm:@{title}` | what it adds |") + 1
        assert rows[start : start + 20] == [f"| `{name}` | {why} |" for name, why in names.items()]


def test_in_the_shell(timm, capsys):
    assert run(app, ["models", "timm:tiny*", "--input-size", "96", "--json"], ends=False) == 0
    assert json.loads(capsys.readouterr().out) == {"networks": ["timm:tiny.b"]}
    assert run(app, ["models", "timm:b*", "--max-params", "1M", "--random"], ends=False) == 0
    assert capsys.readouterr().out == "timm:big@random\n"
    assert run(app, ["models", "timm:*", "--max-params", "lots"], ends=False) == 2
    assert "--max-params='lots'" in capsys.readouterr().err


class TestReal:
    """Of the packages themselves, where they are."""

    @pytest.fixture(autouse=True)
    def needed(self):
        try:
            import timm  # noqa: F401
        except Exception as error:
            pytest.skip(f"timm does not import here: {error}")

    def test_every_name_of_a_curated_list_has_weights(self):
        import timm

        known = set(timm.list_models(pretrained=True))
        assert {name for names in CURATED.values() for name in names} <= known

    def test_curated_sizes(self):
        assert len(pyattrx.list_models("timm:@small", max_params="12M")) == 20
        assert pyattrx.list_models("timm:@base", max_params="15M") == []
        assert len(pyattrx.list_models("timm:@base", max_params="100M")) == 20

    @pytest.mark.parametrize(
        "specification",
        ["timm:resnet10t", "torchvision:squeezenet1_0", "torchvision:regnet_y_400mf"],
    )
    def test_the_count_is_that_of_the_network_that_is_loaded(self, specification):
        module = pyattrx.load(f"{specification}@random").module
        count = sum(parameter.numel() for parameter in module.parameters())
        found = pyattrx.list_models(specification, pretrained=False, max_params=count)
        assert found == [f"{specification}@random"]
        assert not pyattrx.list_models(specification, pretrained=False, max_params=count - 1)

    def test_the_size_is_that_of_the_network_that_is_loaded(self):
        for specification in ("timm:tf_efficientnetv2_b0", "torchvision:inception_v3"):
            side = 299 if "inception" in specification else 192
            loaded = pyattrx.load(f"{specification}@random")
            assert loaded.input_size == (side, side)
            assert pyattrx.list_models(specification, pretrained=False, input_size=side)

    def test_both_packages(self):
        found = pyattrx.list_models("resnet18")
        assert {"timm:resnet18.a1_in1k", "torchvision:resnet18"} <= set(found)
