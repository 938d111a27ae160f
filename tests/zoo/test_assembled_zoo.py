"""Any network in a zoo: added and found with the right number, or refused; and who is who."""

import os
import tempfile
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import pyattrx
from assembled import (
    BAD,
    GOOD,
    HEADS,
    METHODS,
    PATCHES,
    STEMS,
    assemble,
    copies_of,
    images,
    oracle,
    transform,
)

MAPS = ["saliency", "grad_x_input", "norm"]
VARIES = "as many as there are bright pixels"


def named(network, name):
    return pyattrx.Encoder(network, name=name, transform=transform)


def check(stem, parts, head, patch, name, batch_size):
    def one(seed=0):
        return assemble(stem, parts, head, patch, seed=seed)

    def other():
        return assemble("strided conv", ["tanh", "conv"], "pooled", seed=5)

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        probes = pyattrx.Probes.from_tensor(images())
        with pyattrx.Zoo.create(Path(folder) / "zoo", probes, METHODS[name]) as zoo:
            zoo.add(named(other(), "other"))
            refusal = ""
            try:
                zoo.add(named(one(), "one"), batch_size=batch_size)
            except pyattrx.PyattrxError as error:
                refusal = str(error)
            if refusal:
                assert "'one'" in refusal
                assert zoo.names == ["other"]
                return False
            torch.manual_seed(0)
            expected = oracle(one(), other(), name, copies_of(head))
            # By its name, and as a network that the zoo does not know.
            for target in ("one", named(one(), "again")):
                matches = zoo.query(target, k=2, batch_size=batch_size)
                found = {match.name: match.affinity for match in matches}
                assert abs(found["other"] - expected) < 2e-3, (found, expected)
            # The same network, made anew, is there already; whatever the batch size now.
            zoo.add(named(one(), "one"), batch_size=5, tags="again")
            assert zoo.tags_of("one") == ("again",)
            assert len(zoo) == 2
            # One with other weights is not: its maps are others, or it is refused for itself.
            with pytest.raises(pyattrx.PyattrxError):
                zoo.add(named(one(seed=1), "one"), batch_size=batch_size)
    return True


assembled = {
    "stem": st.sampled_from(sorted(STEMS)),
    "parts": st.lists(st.sampled_from(sorted(GOOD) + sorted(BAD)), max_size=3),
    "head": st.sampled_from(sorted(set(HEADS) - {VARIES})),
    "patch": st.sampled_from(sorted(PATCHES)),
    "name": st.sampled_from(MAPS),
    "batch_size": st.sampled_from([1, 2, 3, 4, 32]),
}
# Networks are small already: looking for smaller ones takes minutes.
phases = [Phase.explicit, Phase.reuse, Phase.generate]
quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@settings(
    max_examples=40, deadline=None, derandomize=True, phases=phases, suppress_health_check=quiet
)
@given(**assembled)
def test_right_or_refused(**chosen):
    check(**chosen)


# Minutes, and other networks each time: PYATTRX_MANY_NETWORKS=1 asks for it.
@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("PYATTRX_MANY_NETWORKS"), reason="asked for by name only")
@settings(max_examples=500, deadline=None, phases=phases, suppress_health_check=quiet)
@given(**assembled)
def test_many_are_right_or_refused(**chosen):
    check(**chosen)


@pytest.mark.parametrize("part", sorted(GOOD))
def test_what_is_well_behaved_is_added_and_found(part):
    assert check("conv", [part, "conv"], "pooled", "left as it is", "grad_x_input", 4)
