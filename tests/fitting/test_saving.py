"""Fitted encoders in files, and files as specifications."""

import json
import subprocess
import sys
import warnings

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import pyattrx
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError


@pytest.fixture(scope="module")
def fitted():
    images = torch.rand(60, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pyattrx.fit_target(
            images, images[:, 0].mean((1, 2)), name="red", steps=3, input_size=(16, 20)
        )


@pytest.fixture
def file(fitted, tmp_path):
    return fitted.save(tmp_path / "red.safetensors")


def test_a_file_is_a_specification(fitted, file, monkeypatch):
    monkeypatch.chdir(file.parent)
    found = pyattrx.load(file.name)
    assert isinstance(found, pyattrx.FittedEncoder)
    assert found.name == "red"
    assert found.input_size == (16, 20)
    assert found.transform == fitted.transform
    assert found.report == fitted.report
    assert found.specification == str(file)  # from any folder
    for name, value in fitted.module.state_dict().items():
        assert torch.equal(found.module.state_dict()[name], value)
    assert found.describe() == fitted.describe()


def test_it_gives_the_same_affinities(fitted, file, probes):
    other = pyattrx.Encoder(nn.Conv2d(3, 4, 3), name="other")
    direct = pyattrx.affinity([fitted, other], probes, device="cpu", method="grad_x_input")
    loaded = pyattrx.affinity([str(file), other], probes, device="cpu", method="grad_x_input")
    assert loaded.names == direct.names
    assert (loaded.values == direct.values).all()


def test_layers_of_it_can_be_chosen(file):
    assert pyattrx.load(f"{file}?output=stem").name == "red?output=stem"


def rewritten(file, **changes):
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    described = {**json.loads(metadata["encoder"]), **changes}
    save_file(load_file(file), file, {**metadata, "encoder": json.dumps(described)})


@pytest.mark.parametrize(
    "changes",
    [
        {"mean": [0.5]},
        {"std": [0, 0, 0]},
        {"std": ["__import__('os')"] * 3},
        {"input_size": [16]},
        {"input_size": None},
        {"name": 3},
        {"report": {"loss": 1}},
        {"report": None},
    ],
)
def test_a_description_that_was_not_written_is_refused(file, changes):
    rewritten(file, **changes)
    with pytest.raises(EncoderError, match="not a saved fitted encoder, or damaged"):
        pyattrx.load(str(file))


def test_files_that_are_something_else(file, tmp_path):
    other = tmp_path / "other.safetensors"
    with pytest.raises(InvalidValueError, match="existing .safetensors file"):
        pyattrx.load(str(other))
    save_file({"weight": torch.zeros(1)}, other)
    with pytest.raises(EncoderError, match="weights alone.*package.module:factory.weights="):
        pyattrx.load(str(other))
    other.write_bytes(file.read_bytes()[:100])
    with pytest.raises(EncoderError, match="not a safetensors file, or damaged"):
        pyattrx.load(str(other))
    tensors = load_file(file)
    tensors.pop("stem.0.weight")
    with safe_open(file, framework="pt") as opened:
        save_file(tensors, other, opened.metadata())
    with pytest.raises(EncoderError, match="does not fit SmallEncoder"):
        pyattrx.load(str(other))


def test_weights_of_other_specifications_are_still_weights(file):
    found = pyattrx.load(f"pyattrx.fitting:SmallEncoder?weights={file}")
    assert not isinstance(found, pyattrx.FittedEncoder)
    assert found.specification == f"pyattrx.fitting:SmallEncoder?weights={file}"


def test_what_cannot_be_saved(fitted, tmp_path):
    with pytest.raises(InvalidValueError, match="ends in .safetensors"):
        fitted.save(tmp_path / "red.pt")
    with pytest.raises(InvalidValueError, match="existing folder"):
        fitted.save(tmp_path / "no" / "red.safetensors")
    with pytest.raises(InvalidTypeError, match="path"):
        fitted.save(None)
    other = pyattrx.FittedEncoder(nn.Conv2d(3, 4, 3), name="other")
    with pytest.raises(EncoderError, match="is a Conv2d"):
        other.save(tmp_path / "other.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_read_where_nothing_was_fitted(file):
    """In a process that has not imported what writes it."""
    code = "import pyattrx, sys; print(pyattrx.load(sys.argv[1]).report.task)"
    command = [sys.executable, "-c", code, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "regression"
