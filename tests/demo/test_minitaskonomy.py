"""The shipped zoo: twenty networks, their transfers, and what is predicted of them."""

import numpy as np
import pytest
import torch

import pyattrx
from pyattrx import evaluate
from pyattrx.demo import known, minitaskonomy
from pyattrx.demo.networks import mini_taskonomy
from pyattrx.errors import EncoderError, InvalidValueError, MissingDependencyError


def test_it_is_whole_and_small():
    names = minitaskonomy.tasks()
    assert len(names) == 20
    assert sum(file.stat().st_size for file in minitaskonomy.FOLDER.iterdir()) < 15e6
    truth = minitaskonomy.transfers()
    assert sorted(truth.sources) == names
    assert set(names) - set(truth.targets) == {"colorization", "inpainting_whole"}
    assert np.isfinite(truth.values).all()
    assert minitaskonomy.probes().shape == (64, 3, 64, 64)


def test_networks_are_loaded_by_name():
    encoder = pyattrx.load("pyattrx.demo.minitaskonomy:rgb2depth")
    assert encoder.name == "rgb2depth"
    assert encoder.specification == "pyattrx.demo.minitaskonomy:rgb2depth"
    assert minitaskonomy.specifications()[12] == encoder.specification
    with pytest.raises(EncoderError, match="has no 'depth'"):
        pyattrx.load("pyattrx.demo.minitaskonomy:depth")
    assert [e.name for e in minitaskonomy.encoders()] == minitaskonomy.tasks()


def test_what_a_network_sees_and_says():
    """x is normalised; the network's own first step undoes that, and takes colours if need be."""
    images = minitaskonomy.probes().images(0, 3)
    for name in ("rgb2depth", "colorization"):
        file = minitaskonomy.FOLDER / f"{name}.safetensors"
        whole = mini_taskonomy.load_encoder(file, "residual")
        with mini_taskonomy.as_encoder(whole, name).prepare("cpu", images) as prepared:
            x = prepared.preprocess(images)
            with torch.no_grad():
                output, features = prepared.outputs(x)
                expected = whole(images)
        assert x.mean((0, 2, 3)).abs().max() < 1.5
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-4)
        assert output.shape == (3, *mini_taskonomy.CODE)
        assert features.shape == (3, 128, 8, 8)


def test_trained_networks_are_no_noise():
    """Depth, distance and normals say more alike than depth and two-dimensional edges."""
    names = ("rgb2depth", "rgb2mist", "edge2d")
    specifications = [f"pyattrx.demo.minitaskonomy:{name}" for name in names]
    found = pyattrx.affinity(specifications, minitaskonomy.probes().head(16), "rsa")
    assert found.values[0, 1] > found.values[0, 2] + 0.1


def test_predictions_beside_the_truth(monkeypatch):
    monkeypatch.setattr(known, "_PROBES", 8)
    made = known.rank_known("reshade", k=3)
    truth = minitaskonomy.transfers().select(["reshade"], minitaskonomy.transfers().sources)
    order = np.argsort(-truth.values[0])
    best = [truth.sources[i] for i in order if truth.sources[i] != "reshade"][:3]
    assert [name for name, _ in made.best] == best
    assert [m.name for m in made.predicted] == [m.name for m in made.affinity.nearest("reshade", 3)]
    assert made.affinity.provenance["method"] == pyattrx.methods.RECOMMENDED.to_dict()
    table = evaluate.Table(made.affinity.values, tuple(made.affinity.names),
                           tuple(made.affinity.names))  # fmt: skip
    pair = evaluate.align(table, minitaskonomy.transfers())
    assert made.precision == evaluate.precision_at_k(*pair, 5) > 5 / 19
    assert made.to_dict()["target"] == "reshade"


def test_what_is_not_there_is_named(monkeypatch, tmp_path):
    with pytest.raises(InvalidValueError, match="target='inpainting_whole'"):
        known.rank_known("inpainting_whole")
    with pytest.raises(InvalidValueError, match="architecture='vgg'"):
        mini_taskonomy.load_encoder(minitaskonomy.FOLDER / "edge2d.safetensors", "vgg")
    monkeypatch.setattr(minitaskonomy, "FOLDER", tmp_path)
    with pytest.raises(MissingDependencyError, match="weights of MiniTaskonomy"):
        minitaskonomy.tasks()
