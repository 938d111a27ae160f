"""The study's adversarial responses: steps that are really taken, and those of random signs."""

import numpy as np
import pytest
import torch

import pyattrx
from pyattrx.demo import minitaskonomy
from pyattrx.methods import AdversarialResponse, enlarged
from studies.transfer import responses
from studies.transfer.paths import RUN
from studies.transfer.scores import read_blocks, read_scores, score_file

NAMES = ("autoencoder", "rgb2depth")
METHOD = AdversarialResponse(steps=1, rank=2, largest_grid=8)


def probes():
    return pyattrx.Probes.from_tensor(minitaskonomy.probes().images(0, 5))


def encoders():
    return [one for one in minitaskonomy.encoders() if one.name in NAMES]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("responses")
    responses.compute_responses(
        folder,
        lambda _: None,
        encoders=encoders,
        probes=probes,
        responses={"adversarial_response": METHOD},
    )
    return folder


def scores(root, name):
    return read_scores(score_file(root, RUN, responses.DEMO, name), NAMES)


def test_what_is_written(root):
    method = pyattrx.affinity(encoders(), probes(), METHOD)
    np.testing.assert_allclose(
        scores(root, "adversarial_response"), method.values, rtol=1e-4, atol=1e-6
    )
    for name in responses.RIVALS:
        assert np.isfinite(scores(root, name)).all()
    costs = responses.read_costs(root)
    assert set(costs) == {"adversarial_response", *responses.RIVALS}
    assert min(costs.values()) > 0
    file = responses.blocks_file(root, RUN, responses.DEMO, "adversarial_response_taken")
    less, blocks = read_blocks(file, NAMES, NAMES)
    assert less.shape == (5, 2, 2) and sorted(blocks) == [*range(5)]


def test_steps_are_really_taken(root):
    images = probes().images(0, 5)
    moves = {}
    for network in encoders():
        with network.prepare("cpu", images[:2], batch_size=64) as prepared, torch.no_grad():
            seen = METHOD.observe(prepared, images, np.arange(5))
        steps = {"own": seen["output"][:, 0], network.name: seen["features"]}
        moves[network.name] = steps
    for i, target in enumerate(encoders()):
        for j, source in enumerate(NAMES):
            with target.prepare("cpu", images[:2], batch_size=64) as prepared:

                def far(steps, run=prepared):
                    long = (METHOD.strength * 192**0.5) * steps.view(-1, 3, 8, 8)
                    shown = (images, images + enlarged(long.float(), images))
                    plain, moved = (run.outputs(run.preprocess(x))[0] for x in shown)
                    return (moved - plain).flatten(1).norm(dim=1)

                taken = far(moves[source][source]) / far(moves[target.name]["own"])
            found = scores(root, "adversarial_response_taken")[i, j]
            assert found == pytest.approx(float(taken.mean()), rel=1e-3)


def test_random_signs_know_nothing_of_the_source(root):
    """A direction among 192 that is drawn blindly has a share of about 1 / 192 of any other."""
    signs = scores(root, "adversarial_response_signs")
    assert (signs > 0).all()
    assert signs.max() < 0.25 < scores(root, "adversarial_response").max()
    taken = scores(root, "adversarial_response_taken_signs")
    assert (taken > signs).all()
