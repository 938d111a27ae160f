"""The demo's networks can be loaded by name, and its zoo goes on from where it was."""

import pytest

import pyattrx
from pyattrx.demo import known
from pyattrx.demo.networks import demo_networks
from pyattrx.demo.run import METHODS, run
from pyattrx.errors import EncoderError, ZooMismatchError


def test_networks_are_loaded_by_name():
    encoder = pyattrx.load("pyattrx.demo:ffdnet")
    assert encoder.name == "ffdnet"
    assert encoder.specification == "pyattrx.demo:ffdnet"
    with pytest.raises(EncoderError, match="has no 'resnet'"):
        pyattrx.load("pyattrx.demo:resnet")


@pytest.mark.slow
def test_the_demo_answers_from_its_zoo(tmp_path, monkeypatch):
    monkeypatch.setattr(known, "_PROBES", 4)
    made = run(tmp_path, crops=1, size=64)
    names = [network.name for network in demo_networks()]
    with pyattrx.Zoo.open(made.zoo) as zoo:
        assert zoo.names == names
        assert zoo.methods == list(METHODS.values())
        assert zoo.verify().ok
        entries = list(zoo.entries())
        # The five nearest of every real network, as those who keep no zoo compute them.
        method = METHODS["saliency_half_squared_norm"]
        specifications = [str(entry.specification) for entry in zoo.entries()]
        direct = pyattrx.affinity(specifications, zoo.probes, method, batch_size=8)
        for name, there in zip(names, direct.names, strict=True):
            found = [m.name for m in zoo.query(name, 5, method=method)]
            wanted = [names[direct.names.index(m.name)] for m in direct.nearest(there, 5)]
            assert found == wanted
        expected = made.affinities["saliency_half_squared_norm"].nearest(names[0], 3)
        assert [m.name for m in made.matches] == [m.name for m in expected]
        assert {m.name for m in made.matches[:2]} == {"efficientnet-lite1", "efficientnet-lite2"}
    again = run(tmp_path, crops=1, size=64)
    assert (again.affinities["grad_x_input"].values == made.affinities["grad_x_input"].values).all()
    with pyattrx.Zoo.open(again.zoo) as zoo:  # nothing was made, or timed, anew
        assert list(zoo.entries()) == entries
    other = tmp_path / "other"
    pyattrx.Zoo.create(other, pyattrx.Zoo.open(made.zoo).probes).close()
    made.zoo.rename(tmp_path / "moved")
    other.rename(made.zoo)
    with pytest.raises(ZooMismatchError, match="another zoo"):
        run(tmp_path, crops=1, size=64)
