"""Any network in a zoo: added and found with the right number, or refused; and who is who."""

import tempfile
import warnings
from pathlib import Path

import pytest

import pyattrx
from assembled import GOOD, METHODS, assemble, images
from drawn import close, expected, few, many, named, other, said
from pyattrx.errors import AssumptionError

MAPS = ["saliency", "grad_x_input", "norm"]
# Other batch sizes that take a network the same way: one that mixes images may be run one by one,
# and some mix those of more than four only.
ANOTHER = {1: 1, 2: 3, 3: 4, 4: 3, 32: 5}


def check(stem, parts, head, patch, name, batch_size):
    """One network in a zoo of another one: the number, which is right, or the refusal."""

    def one(seed=0):
        return assemble(stem, parts, head, patch, seed=seed)

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        probes = pyattrx.Probes.from_tensor(images())
        with pyattrx.Zoo.create(Path(folder) / "zoo", probes, METHODS[name]) as zoo:
            zoo.add(named(other(), "other"))
            refusal = None
            try:
                zoo.add(named(one(), "one"), batch_size=batch_size)
            except pyattrx.PyattrxError as error:
                refusal = error
            if refusal is not None:
                assert "'one'" in str(refusal)
                assert zoo.names == ["other"]
                return refusal
            right = expected(one(), head, name)
            # By its name, and as a network that the zoo does not know.
            for target in ("one", named(one(), "again")):
                matches = zoo.query(target, k=2, batch_size=batch_size)
                found = {match.name: match.affinity for match in matches}
                assert close(found["other"], right), (found, right)
            # The same network, made anew, is there already.
            zoo.add(named(one(), "one"), batch_size=ANOTHER[batch_size], tags="again")
            assert zoo.tags_of("one") == ("again",)
            assert len(zoo) == 2
            # One with other weights is not: its maps are others, or it is refused for itself.
            with pytest.raises(pyattrx.PyattrxError):
                zoo.add(named(one(seed=1), "one"), batch_size=batch_size)
    return float(found["other"])


@few(40, MAPS, most=3)
def test_right_or_refused(**chosen):
    said(check(**chosen))


@many(500, MAPS, most=3)
def test_many_are_right_or_refused(**chosen):
    said(check(**chosen))


@pytest.mark.parametrize("part", sorted(GOOD))
def test_what_is_well_behaved_is_added_and_found(part):
    assert isinstance(
        check("conv", [part, "conv"], "pooled", "left as it is", "grad_x_input", 4), float
    )


def test_a_batch_size_that_mixes_images_is_refused_for_a_known_network(tmp_path):
    network = assemble("conv", ["tanh", "batch statistics", "conv"], "maps")
    probes = pyattrx.Probes.from_tensor(images())
    with pyattrx.Zoo.create(tmp_path / "zoo", probes, METHODS["saliency"]) as zoo:
        zoo.add(named(network, "one"), batch_size=1)
        with pytest.raises(AssumptionError, match="beside another image") as caught:
            zoo.add(named(network, "one"), batch_size=5, tags="again")
        assert caught.value.assumption == "alone"
        assert zoo.tags_of("one") == ()


def test_a_large_batch_that_mixes_images_adds_nothing(tmp_path):
    network = assemble("conv", ["tanh", "less the mean of a large batch", "conv"], "maps")
    probes = pyattrx.Probes.from_tensor(images())
    with pyattrx.Zoo.create(tmp_path / "zoo", probes, METHODS["saliency"]) as zoo:
        with pytest.raises(AssumptionError, match="beside another image"):
            zoo.add(named(network, "one"), batch_size=5)
        assert len(zoo) == 0
