"""Forms of the consensus on rendered rooms, from committed tables."""

import numpy as np
import pytest

from pyattrx.recommending.agreement import by_every_target
from studies.minitaskonomy.tasks import TARGETS, TASKS
from studies.recommend import agreements, command


@pytest.fixture(scope="module")
def seed0():
    return agreements.Agreements.read(command.agreement_file(command.ROOT, 0))


def test_a_target_does_not_ask_its_own_encoder(seed0):
    table = seed0.of("rgb2depth", 1, "pooled")
    assert table.shape == (len(TASKS) - 1,) * 2
    own = list(TASKS).index("rgb2depth")
    clean = seed0.tables[seed0.images.index("clean"), 1, 0, 0]
    np.testing.assert_array_equal(table, np.delete(np.delete(clean, own, 0), own, 1))
    noisy = seed0.of("denoise", 1, "pooled")
    assert not np.array_equal(noisy[:3, :3], seed0.of("colorization", 1, "pooled")[:3, :3])


def test_what_recommend_does_is_not_behind_the_mean(seed0):
    """What the choice of studies.real had to stand."""
    every = np.ones(len(TARGETS), bool)
    found = agreements.judge_forms({0: seed0}, command.TRANSFERS, {"all": every})["all"]
    for case in found.values():
        assert case["mean@pooled"]["ahead"] == [0, 0, 0]
        assert case["targets standardized@pooled"]["ahead"][1] > 0
    form = agreements.FORMS["targets standardized"]
    table = seed0.of("rgb2depth", 0, "pooled")
    np.testing.assert_allclose(by_every_target(table), form(table))


def test_networks_that_ship_are_found(tmp_path):
    from studies.real.entrants import entrants
    from studies.recommend.scores import load_source

    assert load_source(tmp_path, 0, "rgb2depth").name == "rgb2depth"
    there, _ = entrants(tmp_path)
    assert sum(one.group == "one size" for one in there) == 20
