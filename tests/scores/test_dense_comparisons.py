"""Scores of label maps are compared by what they are: R^2 over all locations of the same maps."""

import numpy as np
import pytest

from pyattrx import scores
from pyattrx.errors import InvalidValueError

PENALTY = 0.1


def pooled(maps, size):
    """Means over equal boxes of maps [N, C, H, W]."""
    n, c, h, w = maps.shape
    return maps.reshape(n, c, size, h // size, size, w // size).mean((3, 5))


def located(maps):
    """Maps [N, C, H, W] as samples [N, L, C]."""
    return np.moveaxis(maps, 1, -1).reshape(len(maps), -1, maps.shape[1])


def r2(u, z, halves):
    """R^2 of ridge regression between halves of images, from all samples: both ways."""
    found = []
    for half in (0, 1):
        x, y = (a[halves != half].reshape(-1, a.shape[2]) for a in (u, z))
        x2, y2 = (a[halves == half].reshape(-1, a.shape[2]) for a in (u, z))
        centred = x - x.mean(0)
        strength = PENALTY * np.square(centred).sum() / min(x.shape)
        gram = centred.T @ centred + strength * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, centred.T @ (y - y.mean(0)))
        left = y2 - y.mean(0) - (x2 - x.mean(0)) @ weights
        found.append(1 - np.square(left).sum() / np.square(y2 - y2.mean(0)).sum())
    return np.mean(found)


def candidates():
    """Two of them, of other widths and grids, that know different parts of one field."""
    rng = np.random.default_rng(3)
    field = rng.standard_normal((64, 6, 8, 8)) + 0.5 * rng.standard_normal((64, 6, 1, 1))
    fine = field[:, :5] + 0.3 * rng.standard_normal((64, 5, 8, 8))
    coarse = pooled(field[:, 2:] + 0.3 * rng.standard_normal((64, 4, 8, 8)), 4)
    return field, fine, coarse


@pytest.mark.parametrize("kind", ["classes", "numbers"])
@pytest.mark.parametrize("size", [1, 2])
def test_the_paired_error_is_that_of_a_brute_force_jackknife(kind, size):
    field, fine, coarse = candidates()
    signal = field[:, 1] + field[:, 3]
    groups = np.arange(64) // size
    if kind == "numbers":
        labels = signal[:, None]
        target = labels
        keys = [(signal[groups == g].mean(),) for g in range(64 // size)]
    else:
        labels = np.digitize(signal, [-1.0, 1.0])
        first = list(dict.fromkeys(labels.ravel()))
        target = np.stack([labels == c for c in first], 1).astype(float)
        often = [target[groups == g].sum((0, 2, 3)) for g in range(64 // size)]
        keys = [(one.argmax(), one.max()) for one in often]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    place = np.argsort(order)[groups]
    halves, blocks = place % 2, place // 2 % 16
    whole, without = [], []
    for features, grid in ((fine, 8), (coarse, 4)):
        unit = located(features / np.linalg.norm(features, axis=1, keepdims=True))
        z = located(pooled(target, grid))
        whole.append(r2(unit, z, halves))
        without.append([r2(unit[k], z[k], halves[k]) for k in (blocks != b for b in range(16))])
    a, b = (scores.label_ridge(x, labels, groups=groups) for x in (fine, coarse))
    assert (a.facts["grid"], b.facts["grid"]) == ([8, 8], [4, 4])
    assert (a.value, b.value) == pytest.approx(whole, abs=1e-9)
    # Sixteen blocks of one size: the delete-one-block jackknife of the textbook.
    left = np.subtract(*without)
    expected = np.sqrt(15 / 16 * np.square(left - left.mean()).sum())
    found = scores.compare(a, b)
    assert found.difference == pytest.approx(whole[0] - whole[1], abs=1e-9)
    assert found.stderr == pytest.approx(expected, rel=1e-6)
    assert found.df == pytest.approx(15)
    # Not what unpaired errors would say, by far more than rounding.
    assert abs(found.stderr / np.hypot(a.stderr, b.stderr) - 1) > 0.01


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_maps_with_the_same_means_are_not_the_same_labels(kind):
    field, fine, coarse = candidates()
    labels = (field[:, 0] > 0).astype(int) if kind == "classes" else field[:, :1]
    turned = labels.copy()  # every image has as many of each class, elsewhere
    turned[1:] = labels[1:, ..., ::-1]
    one, other = scores.label_ridge(fine, labels), scores.label_ridge(coarse, turned)
    np.testing.assert_array_equal(one.units, other.units)
    with pytest.raises(InvalidValueError, match="the same images, with the same labels"):
        scores.compare(one, other)
    assert scores.compare(one, scores.label_ridge(coarse, labels)).df > 1


def test_names_of_classes_in_maps_do_not_matter():
    field, fine, _ = candidates()
    labels = np.digitize(field[:, 0], [-1.0, -0.2, 0.3, 1.0])
    one = scores.label_ridge(fine, labels)
    other = scores.label_ridge(fine, np.array([7, 3, 11, -2, 0])[labels])
    assert (one.value, one.stderr, one.sample) == (other.value, other.stderr, other.sample)
    scores.compare(one, other)


def test_halves_of_maps_have_every_class():
    """Images that are all of one class or another, in turns: halves by place would have one."""
    rng = np.random.default_rng(0)
    labels = np.broadcast_to((np.arange(32) % 2)[:, None, None], (32, 4, 4)).copy()
    labels[:, 0, 0] = 1 - labels[:, 0, 0]
    features = rng.standard_normal((32, 3, 4, 4)) + 3 * labels[:, None]
    assert scores.label_ridge(features, labels).value > 0.4
