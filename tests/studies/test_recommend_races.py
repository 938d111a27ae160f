"""What a race saves, on candidates of which everything is known."""

import numpy as np
import pytest

from pyattrx import Task
from pyattrx.features import Features
from studies.recommend import races


def made(strengths, images=160):
    """A task of two classes, and candidates that see them more or less clearly."""
    rng = np.random.default_rng(0)
    labels = np.arange(images) % 2
    task = Task.from_arrays(rng.random((images, 3, 4, 4), np.float32), labels)
    features = []
    for strength in strengths:
        maps = rng.standard_normal((images, 3, 2, 2)).astype(np.float32)
        maps[:, 0] += strength * labels[:, None, None]
        name = f"{strength:g}"
        features.append(Features(name, maps.mean((2, 3)), maps, "here", None, 0, None, {}))
    return task, features


def test_a_race_sees_the_rows_of_its_images():
    task, features = made([4, 2, 0, 0.1])
    runs = races.Runs(task, features)
    part = task.subsample(20, seed=0)
    taken = [task.probes.names.index(name) for name in part.probes.names]
    assert taken != list(range(20))
    (read,) = runs.read(part, ["2"])
    np.testing.assert_array_equal(read.pooled, features[1].pooled[taken])
    np.testing.assert_array_equal(read.maps, features[1].maps[taken])
    assert [one.name for one in runs.read(part, None)] == ["4", "2", "0", "0.1"]


def test_who_sees_nothing_is_dropped_and_its_passes_are_saved():
    task, features = made([4, 0, 0.1, 0.2, 0.3, 0.4])
    runs = races.Runs(task, features)
    first, dropped, share = runs.first_of_race()
    assert first == runs.first_of_all() == "4"
    assert "4" not in dropped
    # Parts are of 64 and 160 images.
    assert len(dropped) >= 3
    assert share == pytest.approx((160 * (6 - len(dropped)) + 64 * len(dropped)) / (6 * 160))


def test_races_are_summed_up_by_what_labels_are():
    image = {"kind": "regression", "passes": [0.2, 0.4], "lost": [False, True],
             "regret": [0.0, 0.2], "regret of all": [0.1, 0.1]}  # fmt: skip
    dense = {**image, "kind": "dense_regression", "passes": [1.0, 1.0]}
    every = [{"targets": {"a": image, "b": dense}}, {"targets": {"a": image}}]
    assert races.summary(every, dense=False) == {
        "races": 4,
        "passes": pytest.approx(0.3),
        "least": 0.2,
        "most": 0.4,
        "lost": 2,
        "regret": 0.1,
        "regret of all": 0.1,
    }
    assert races.summary(every, dense=True)["races"] == 2
