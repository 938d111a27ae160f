"""Classifiers of torchvision by name. Nothing is downloaded: weights lie in its cache."""

import urllib.error
import warnings
from pathlib import Path

import pytest
import torch

import pyattrx
from pyattrx.encoders import expand
from pyattrx.errors import EncoderError, InvalidValueError, UntrainedWarning
from pyattrx.features import extract
from pyattrx.features.costs import origin

torchvision = pytest.importorskip("torchvision", exc_type=ImportError)
models = torchvision.models
SMALL = "shufflenet_v2_x0_5"


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """A folder that torchvision takes weights from, and no network."""

    def fail(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def keep(folder, name):
    """Leave random weights where those of a name would be."""
    module = models.get_model(name)
    torch.save(module.state_dict(), folder / Path(models.get_model_weights(name).DEFAULT.url).name)
    return module.eval()


def test_weights_and_their_own_preset(offline):
    module = keep(offline, SMALL)
    encoder = pyattrx.load(f"torchvision:{SMALL}")
    weights = models.get_model_weights(SMALL).DEFAULT
    image = torch.rand(2, 3, 256, 256)
    with torch.no_grad(), encoder.prepare("cpu", image) as prepared:
        x = prepared.preprocess(image)
        preset = weights.transforms()
        assert x.shape[2:] == (preset.crop_size[0],) * 2
        sized = torch.nn.functional.interpolate(
            image, preset.crop_size[0], mode="bilinear", antialias=True
        )
        expected = torchvision.transforms.functional.normalize(sized, preset.mean, preset.std)
        torch.testing.assert_close(x, expected, atol=1e-5, rtol=0)
        # The classifier's layer of those weights, on what is left, gives their answer.
        torch.testing.assert_close(module.fc(prepared.forward(x)), module(x), atol=1e-4, rtol=1e-4)
    assert encoder.name == encoder.specification == f"torchvision:{SMALL}"
    assert origin(encoder) == (None, weights.url)
    assert encoder.known["imagenet_top1"] == weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    again = pyattrx.load(f"torchvision:{SMALL}@{weights.name}")
    assert again.weights_hash() == encoder.weights_hash()


def test_other_weights_are_not_said_to_be_those_of_torchvision(offline, tmp_path):
    keep(offline, SMALL)
    other = tmp_path / "mine.pt"
    torch.save(pyattrx.load(f"torchvision:{SMALL}@random").module.state_dict(), other)
    specification = f"torchvision:{SMALL}?weights={other}"
    encoder = pyattrx.load(specification)
    assert origin(encoder) == (None, specification)
    assert encoder.known == {"headless": True}


def test_a_licence_travels(offline, monkeypatch):
    keep(offline, SMALL)
    weights = models.get_model_weights(SMALL).DEFAULT
    monkeypatch.setitem(weights.meta, "license", "CC-BY-NC-4.0")
    assert origin(pyattrx.load(f"torchvision:{SMALL}"))[0] == "CC-BY-NC-4.0"


def test_without_a_network_it_is_said_what_to_do(offline):
    url = models.get_model_weights(SMALL).DEFAULT.url
    with pytest.raises(EncoderError, match=rf"no route.*{url}.*checkpoints.*{SMALL}@random"):
        pyattrx.load(f"torchvision:{SMALL}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnt18", "did you mean 'resnet18'"),
        ("fasterrcnn_resnet50_fpn", "a classifier of torchvision"),
        ("resnet18@V2", "resnet18@IMAGENET1K_V1, .*resnet18@random"),
        ("resnt*", "did you mean"),
        ("resnet18@", None),
    ],
)
def test_names(name, message):
    if message is None:
        assert expand(f"torchvision:{name}") == [f"torchvision:{name}"]
        return
    with pytest.raises(InvalidValueError, match=message):
        list(pyattrx.load_many(f"torchvision:{name}"))


def test_a_preset_that_does_something_else_is_refused_by_name(monkeypatch):
    weights = models.get_model_weights(SMALL).DEFAULT
    other = torchvision.transforms._presets.SemanticSegmentation
    monkeypatch.setattr(
        type(weights), "transforms", property(lambda _: lambda: other(resize_size=8))
    )
    with pytest.raises(EncoderError, match="preset SemanticSegmentation"):
        pyattrx.load(f"torchvision:{SMALL}@random")


def test_wildcards():
    assert expand("torchvision:resnet?4@random") == ["torchvision:resnet34@random"]
    # Those that have such weights, and no others.
    second = expand("torchvision:resnet*@IMAGENET1K_V2?features=layer4")
    assert "torchvision:resnet50@IMAGENET1K_V2?features=layer4" in second
    assert not any("resnet18" in one for one in second)
    assert not any("rcnn" in one or "quantized" in one for one in expand("torchvision:*"))


# One a family: every way in which torchvision writes a classifier.
@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("mobilenet_v3_small", 1024),
        ("squeezenet1_1", 512),
        ("densenet121", 1024),
        ("regnet_y_400mf", 440),
    ],
)
def test_features_are_what_the_classifier_was_given(name, width):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = pyattrx.load(f"torchvision:{name}@random")
    found = extract(encoder, pyattrx.Probes.from_tensor(torch.rand(1, 3, 32, 32)))
    assert (found.place, found.pooled.shape) == ("output", (1, width))
    assert origin(encoder) == (None, f"torchvision:{name}@random")
    assert "imagenet_top1" not in encoder.known


def test_every_classifier_has_a_preset_that_is_understood():
    """Networks and weights of this release of torchvision; none is made."""
    for name in models.list_models(module=models):
        for weights in models.get_model_weights(name):
            preset = weights.transforms()
            assert (type(preset).__name__, len(preset.crop_size)) == ("ImageClassification", 1)
            assert len(weights.meta.get("categories") or range(1000)) == 1000


def test_a_function_of_torchvision_has_random_weights_and_that_is_said(offline):
    with pytest.warns(UntrainedWarning, match=f"write torchvision:{SMALL} for pretrained"):
        pyattrx.load(f"torchvision.models:{SMALL}")
    module = models.get_model(SMALL)
    module.conv1[1].running_mean += 1
    torch.save(module.state_dict(), offline / "trained.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pyattrx.load(f"torchvision.models:{SMALL}?weights={offline / 'trained.pt'}")
