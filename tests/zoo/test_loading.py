"""Networks loaded again: the ones that were added, or a clear error."""

import re
import warnings

import pytest
import torch
from zoo.conftest import encoder

import pyattrx
from pyattrx.errors import (
    InvalidTypeError,
    InvalidValueError,
    ZooDamagedError,
    ZooMismatchError,
    ZooWarning,
)

NETWORKS = """
import torch
def made(seed):
    torch.manual_seed(seed)
    return torch.nn.Conv2d(3, 4, 3)
def one():
    return made(1)
def two():
    return made(2)
def three():
    return made(3)
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """The current folder has `nets.py`, with `one`, `two` and `three`, and weights in `w.pt`."""
    (tmp_path / "nets.py").write_text(NETWORKS)
    torch.manual_seed(9)
    torch.save(torch.nn.Conv2d(3, 4, 3).state_dict(), tmp_path / "w.pt")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "nets.py"


def test_it_is_the_network_that_was_added_in_whichever_folder(zoo, nets, monkeypatch):
    added = zoo.add(pyattrx.load("nets.py:one", weights="w.pt"), tags="weighted")
    other = zoo.add("nets.py:two")
    monkeypatch.chdir("/")
    for entry in (added, other):
        loaded = zoo.load(entry.name)
        assert loaded.name == entry.name
        assert loaded.weights_hash() == entry.weights_hash
        assert pyattrx.load(entry.specification).weights_hash() == entry.weights_hash
    assert added.weights_hash != pyattrx.load(f"{nets}:one").weights_hash()


def test_what_cannot_be_loaded_is_explained(zoo, nets, spoil):
    zoo.add("nets.py:one")
    zoo.add("nets.py:two")
    zoo.add_maps("maps", torch.rand(12, 196), facts={"specification": f"{nets}:two"})
    nets.write_text(NETWORKS.replace("made(1)", "made(4)").replace("def two", "def gone"))
    with pytest.raises(
        ZooMismatchError, match="'net0' cannot be loaded: .*without a specification"
    ):
        zoo.load("net0")
    with pytest.raises(ZooMismatchError, match="'nets.py:one' is not the network that was added"):
        zoo.load("nets.py:one")
    with pytest.raises(pyattrx.errors.EncoderError, match="has no 'two'"):
        zoo.load("nets.py:two")
    nets.write_text(NETWORKS)
    with pytest.raises(ZooMismatchError, match="'maps' was added as maps"):
        zoo.load("maps")
    with pytest.raises(InvalidValueError, match="name='nobody'"):
        zoo.load("nobody")
    spoil("nets.py:one")
    with pytest.raises(ZooDamagedError, match=r"nets\.py:one"):
        zoo.load("nets.py:one")


def test_fidelity_takes_others_for_what_cannot_be_loaded(zoo, nets):
    for name in ("one", "two", "three"):
        zoo.add(f"nets.py:{name}")
    zoo.add_maps("maps", torch.rand(12, 196), facts={"specification": f"{nets}:two"})
    with warnings.catch_warnings():
        warnings.simplefilter("error", ZooWarning)
        assert zoo.fidelity(networks=4).networks == [
            f"nets.py:{n}" for n in ("one", "two", "three")
        ]
    for lost, others in (("one", ["two", "three"]), ("three", ["one", "two"])):
        nets.write_text(NETWORKS.replace(f"def {lost}", "def gone"))
        with pytest.warns(ZooWarning, match=f"cannot be loaded: 'nets.py:{lost}'.*has no '{lost}'"):
            found = zoo.fidelity(networks=3)
        assert found.networks == [f"nets.py:{name}" for name in others]
    nets.write_text(NETWORKS.replace("def one", "def gone").replace("made(3)", "made(4)"))
    with (
        pytest.warns(ZooWarning, match="cannot be loaded"),
        pytest.raises(InvalidValueError, match="two or more networks"),
    ):
        zoo.fidelity()


def test_growing_compares_what_it_is_given(zoo, probes):
    images = torch.cat([probes.images(), torch.rand(2, *probes.images().shape[1:])])
    more = pyattrx.Probes.from_tensor(images, groups=[*probes.groups.tolist(), 6, 6])
    report = zoo.add_probes(more, encoders=[encoder(9, name="net0")])
    assert "not the network that was added" in report.failed["net0"]
    assert len(report.failed) == 6


@pytest.mark.parametrize("given", [5, "torch.nn:Identity", encoder(0)])
def test_networks_are_a_list(zoo, probes, given):
    images = torch.cat([probes.images(), torch.rand(2, *probes.images().shape[1:])])
    more = pyattrx.Probes.from_tensor(images, groups=[*probes.groups.tolist(), 6, 6])
    for ask in (zoo.fidelity, lambda given: zoo.add_probes(more, encoders=given)):
        with pytest.raises(InvalidTypeError, match=re.escape("encoders=")):
            ask(given)
