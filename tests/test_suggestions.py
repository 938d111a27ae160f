"""Misspelt names are answered with what may have been meant; modules with how to wrap them."""

import re
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import pyattrx
from pyattrx._near import did_you_mean
from pyattrx.encoders import loading, pretrained
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (lambda: pyattrx.Method("salincy"), "'saliency'"),
        (lambda: pyattrx.Method("saliency", scalar="half_square_norm"), "'half_squared_norm'"),
        (lambda: pyattrx.Method("saliency", reduce="absmean"), "'abs_mean' or 'mean'"),
        (lambda: pyattrx.methods.get("normalised_ridge"), "'normalized_ridge'"),
        (lambda: pyattrx.load("torch.nn:Identiti"), "'Identity'"),
        (lambda: pyattrx.load("torchvison.models:resnet18"), "'torchvision'"),
        (lambda: pyattrx.load("tim:resnet18"), "'timm'"),
    ],
)
def test_what_may_have_been_meant(call, meant):
    with pytest.raises((InvalidValueError, EncoderError)) as raised:
        call()
    said = re.search(r"; did you mean (.*)\?$", str(raised.value))
    assert said, raised.value
    assert said[1].startswith(meant)


def test_a_bare_name_gets_its_two_specifications():
    with pytest.raises(InvalidValueError, match=r"timm:resnet18 or torchvision:resnet18\?"):
        pyattrx.load("resnet18")


def test_nothing_is_suggested_where_nothing_is_alike():
    with pytest.raises(InvalidValueError) as raised:
        pyattrx.Method("entirely different")
    assert "did you mean" not in str(raised.value)


@pytest.fixture
def timm(monkeypatch):
    names = ["resnet18", "resnet34", "vgg11"]

    def list_models(pattern="*", pretrained=False):
        if pattern == "resnet18.*":
            return ["resnet18.a1_in1k", "resnet18.tv_in1k"]
        found = [f"{name}.in1k" for name in names] if pretrained else list(names)
        return found if pattern == "*" else []

    def create_model(name, **_options):
        raise RuntimeError(f"Unknown model ({name})")

    package = types.SimpleNamespace(list_models=list_models, create_model=create_model)
    for module in (pretrained, loading):
        monkeypatch.setattr(module, "timm_package", lambda: package)


@pytest.mark.parametrize(
    ("given_", "meant"),
    [
        ("timm:resnt18", "'resnet18'"),
        ("timm:resnt18@random", "'resnet18'"),
        ("timm:resnet18.a2_in1k", "'resnet18.a1_in1k'"),
        ("timm:resnt18*", "'resnet18'"),
    ],
)
def test_names_of_timm(timm, given_, meant):
    with pytest.raises((InvalidValueError, EncoderError), match="did you mean " + meant):
        pyattrx.load(given_)


@given(st.text(max_size=8), st.lists(st.text(max_size=8), max_size=6))
def test_only_known_names_are_suggested(name, known):
    said = did_you_mean(name, known)
    if name in known or not known:
        assert said == ""
    if said:
        assert any(repr(one) in said for one in known)


def test_a_bare_module_is_told_how_to_become_an_encoder(probes, tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    zoo = pyattrx.Zoo.create(tmp_path / "z", probes)
    calls = {
        "encoders[0]": lambda: pyattrx.affinity([module], probes, method="grad_x_input"),
        "encoders": lambda: pyattrx.affinity(module, probes, method="grad_x_input"),
        "encoder": lambda: zoo.add(module),
        "target": lambda: zoo.query(module),
    }
    for argument, call in calls.items():
        with pytest.raises(InvalidTypeError) as raised:
            call()
        said = str(raised.value)
        assert said.startswith(f"{argument}=Sequential( (0): Conv2d(3, 4,")
        assert "(a Sequential)" in said
        assert "pyattrx.Encoder(module, name='sequential')" in said
        assert "\n" not in said


def test_a_class_is_not_an_encoder(probes):
    with pytest.raises(InvalidTypeError, match=r"encoders\[0\]=<class .*Conv2d"):
        pyattrx.affinity([nn.Conv2d], probes, method="grad_x_input")
