"""What the study of scores measures by."""

import numpy as np
import pytest

from studies.recommend.study import MEASURES, apart


def test_measures_against_plain_definitions():
    truth = np.array([3.0, 1.0, 2.0, 0.0])
    assert MEASURES["spearman"](truth, truth) == 1
    assert MEASURES["weighted_kendall"](-truth, truth) == pytest.approx(-1)
    assert MEASURES["regret@1"](truth, truth) == 0
    # The worst one first: all that a blind choice loses (1.5), twice over.
    assert MEASURES["regret@1"](-truth, truth) == 2
    assert MEASURES["regret@3"](-truth, truth) == pytest.approx(1 / 1.5)
    # A swap of the best two costs more than one of the worst two.
    first, last = np.array([1.0, 3, 2, 0])[[0, 2, 1, 3]], np.array([3.0, 0, 2, 1])
    assert MEASURES["weighted_kendall"](first, truth) < MEASURES["weighted_kendall"](last, truth)


def test_how_far_other_seeds_are():
    def result(value):
        return np.full((len(MEASURES), 2, 3), value)

    of_images = np.array([True, False])
    every = [{"knn@both": result(v), "knn@locations": result(0.5)} for v in (0.1, 0.2, 0.12)]
    found = apart(dict(enumerate(every)), of_images)
    assert found["within .05"] == pytest.approx(3 / 4)
    assert found["largest"] == pytest.approx(0.1)
    assert set(apart({0: every[0]}, of_images).values()) == {None}
