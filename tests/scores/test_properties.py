"""What holds for every score: invariances, edge cases, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyattrx import scores
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.scores import SCORES

FEATURES = scores.names(needs="features")
WITH_NUMBERS = [n for n in FEATURES if "regression" in SCORES[n].kinds]


def drawn(seed=0, n=40, d=6, k=3):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    return rng.standard_normal((n, d)) + 1.5 * rng.standard_normal((k, d))[labels], labels


def close(a, b):
    # Fits end where the training loss is within 1e-12; what is held out feels its root.
    rel = 1e-5 if a.name == "linear_probe" else 1e-6
    assert a.value == pytest.approx(b.value, rel=rel, abs=1e-8)
    assert a.stderr == pytest.approx(b.stderr, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("name", FEATURES)
@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000), st.integers(-60, 60))
def test_scale(name, seed, power):
    features, labels = drawn(seed)
    a, b = scores.score(name, features, labels), scores.score(name, features * 3.0**power, labels)
    if SCORES[name].scale_free:
        close(a, b)


@pytest.mark.parametrize("name", FEATURES)
@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_rotation(name, seed):
    features, labels = drawn(seed)
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((6, 6)))[0]
    a, b = (scores.score(name, x, labels) for x in (features, features @ turn))
    if SCORES[name].rotation_free:
        close(a, b)


@pytest.mark.parametrize("name", FEATURES)
def test_names_of_classes_do_not_matter(name):
    features, labels = drawn()
    a = scores.score(name, features, labels)
    b = scores.score(name, features, np.array(["z", "b", "m"])[labels])
    assert (a.value, a.stderr, a.sample) == (b.value, b.stderr, b.sample)
    scores.compare(a, b)


@pytest.mark.parametrize("name", sorted(set(FEATURES) - {"label_ridge", "linear_probe", "nleep"}))
def test_order_of_images_does_not_matter(name):
    features, labels = drawn()
    order = np.random.default_rng(1).permutation(len(labels))
    a = scores.score(name, features, labels)
    b = scores.score(name, features[order], labels[order])
    assert a.value == pytest.approx(b.value, abs=1e-9)


@pytest.mark.parametrize("name", FEATURES)
def test_better_features_score_higher_and_the_difference_is_clear(name):
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    noise = rng.standard_normal((120, 5))
    good, bad = (
        scores.score(name, noise + strength * np.eye(3, 5)[labels], labels)
        for strength in (3.0, 0.5)
    )
    found = scores.compare(good, bad)
    assert found.difference == good.value - bad.value > 0
    assert found.p_value < 0.01
    low, high = found.interval()
    assert 0 < low < found.difference < high
    assert good.interval(0.5)[0] > good.interval()[0]
    same = scores.compare(good, good)
    assert (same.difference, same.stderr, same.p_value) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_types_of_features(name, dtype):
    features, labels = drawn()
    rounded = torch.from_numpy(features).to(dtype)
    a = scores.score(name, rounded, torch.from_numpy(labels))
    b = scores.score(name, rounded.double().numpy(), labels)
    # float32 products, where the score uses them.
    assert a.value == pytest.approx(b.value, abs=1e-3)


EDGES = {
    "one feature": lambda x: x[:, :1],
    "more features than images": lambda x: np.tile(x, 12) + np.arange(72 * 40).reshape(40, 72) % 11,
    "all constant": lambda x: np.full_like(x, 0.1),
    "all zero": np.zeros_like,
    "some constant": lambda x: np.where(np.arange(6) < 3, 7.3, x),
    "duplicate features": lambda x: x[:, [0, 0, 0, 1, 1, 1]],
    "duplicate images": lambda x: x[[0, 1, 2] * 13 + [0]],
    "tiny": lambda x: (x * 1e-41).astype(np.float32),
    "huge": lambda x: (x / np.abs(x).max() * 3e38).astype(np.float32),
    "huge in float64": lambda x: x / np.abs(x).max() * 1e308,
    "of very different sizes": lambda x: (x * 10.0 ** np.arange(-30, 30, 10)).astype(np.float32),
    "float16": lambda x: x.astype(np.float16),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("name", FEATURES)
def test_edges_have_finite_scores(name, edge):
    features, labels = drawn()
    score = scores.score(name, EDGES[edge](features), labels)
    low, high = SCORES[name].bounds
    assert np.isfinite(score.value) and np.isfinite(score.stderr)
    assert low - 1e-9 <= score.value <= high + 1e-9


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FEATURES)
def test_classes_of_one_image_and_of_one_group(name):
    features, labels = drawn()
    labels = labels.copy()
    labels[0] = 7
    score = scores.score(name, features, labels, groups=np.where(labels == 1, 0, np.arange(40)))
    assert np.isfinite(score.value) and np.isfinite(score.stderr)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", sorted(set(FEATURES) - {"linear_probe"}))
def test_every_image_a_class(name):
    score = scores.score(name, drawn(n=12)[0], np.arange(12))
    assert np.isfinite(score.value) and np.isfinite(score.stderr)


@pytest.mark.filterwarnings("error")
def test_probe_with_hardly_a_penalty_in_float32():
    features, labels = drawn()
    features = features[:, [0, 0, 1, 1, 2, 2]].astype(np.float32)
    score = scores.linear_probe(features, labels, penalties=[1e-12])
    exact = scores.linear_probe(features.astype(float), labels, penalties=[1e-12])
    assert score.facts["accuracy"] == pytest.approx(exact.facts["accuracy"], abs=0.1)


def test_probe_needs_a_class_in_two_groups():
    with pytest.raises(InvalidValueError, match="labels='no class in two groups'"):
        scores.linear_probe(drawn(n=12)[0], np.arange(12))


@pytest.mark.parametrize("name", FEATURES)
def test_a_thousand_classes(name):
    rng = np.random.default_rng(0)
    labels = np.arange(2000) % 1000
    score = scores.score(name, rng.standard_normal((2000, 8)).astype("f"), labels)
    assert np.isfinite(score.value) and np.isfinite(score.stderr)


@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_numbers_and_several_labels(name):
    features, _ = drawn()
    numbers = features[:, 0] * 1e200
    one = scores.score(name, features, numbers)
    assert np.isfinite(one.value) and np.isfinite(one.stderr)
    column = scores.score(name, features, numbers[:, None])
    assert (one.value, one.sample) == (column.value, column.sample)
    several = (features[:, :2] > 0).astype(int)
    a = scores.score(name, features, several)
    b = scores.score(name, torch.from_numpy(features), torch.from_numpy(several.astype(bool)))
    assert a.value == b.value


@pytest.mark.parametrize("name", sorted(set(FEATURES) - set(WITH_NUMBERS)))
def test_numbers_are_refused_where_only_classes_fit(name):
    features, _ = drawn()
    with pytest.raises(InvalidValueError, match="labels='float64 .*regression.*classes"):
        scores.score(name, features, features[:, 0])


@pytest.mark.parametrize("name", FEATURES)
def test_what_is_refused(name):
    features, labels = drawn()
    broken = features.copy()
    broken[7, 2] = np.nan
    with pytest.raises(InvalidValueError, match="features=.*image 7"):
        scores.score(name, broken, labels)
    broken[7, 2] = np.inf
    with pytest.raises(InvalidValueError, match="features=.*image 7"):
        scores.score(name, torch.from_numpy(broken).float(), labels)
    with pytest.raises(InvalidValueError, match="labels=.*two classes"):
        scores.score(name, features, np.zeros(40, int))
    with pytest.raises(InvalidValueError, match="features="):
        scores.score(name, features[:-1], labels)
    with pytest.raises(InvalidTypeError, match="features="):
        scores.score(name, features.astype(int), labels)
    with pytest.raises(InvalidTypeError, match="features="):
        scores.score(name, features.tolist(), labels)
    with pytest.raises(InvalidValueError, match="groups="):
        scores.score(name, features, labels, groups=[1, 2])
    with pytest.raises(InvalidValueError, match="labels="):
        scores.score(name, features, np.stack([labels, labels], 1))


@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_numbers_that_are_refused(name):
    features, _ = drawn()
    numbers = features[:, 0].copy()
    numbers[3] = np.nan
    with pytest.raises(InvalidValueError, match="labels='nan of image 3'"):
        scores.score(name, features, numbers)
    with pytest.raises(InvalidValueError, match="labels=.*column 0"):
        scores.score(name, features, np.ones(40))


@pytest.mark.parametrize(
    ("name", "option", "value", "error"),
    [
        ("knn", "k", 0, InvalidValueError),
        ("knn", "k", 2.0, InvalidTypeError),
        ("ridge_loo", "penalty", 0.0, InvalidValueError),
        ("ridge_loo", "penalty", "1", InvalidTypeError),
        ("linear_probe", "folds", 1, InvalidValueError),
        ("linear_probe", "penalties", [], InvalidValueError),
        ("linear_probe", "penalties", 0.1, InvalidTypeError),
        ("linear_probe", "penalties", [-1.0], InvalidValueError),
        ("label_ridge", "penalty", float("nan"), InvalidValueError),
        ("label_ridge", "pool", 0, InvalidValueError),
        ("h_score", "shrinkage", 1.5, InvalidValueError),
        ("h_score", "shrinkage", "lw", InvalidValueError),
        ("h_score", "shrinkage", None, InvalidTypeError),
        ("transrate", "epsilon", -1, InvalidValueError),
        ("transrate", "normalize", 1, InvalidTypeError),
    ],
)
def test_options_that_are_refused(name, option, value, error):
    features, labels = drawn()
    with pytest.raises(error, match=f"{option}="):
        scores.score(name, features, labels, **{option: value})


def test_comparisons_that_are_refused():
    features, labels = drawn()
    one = scores.knn(features, labels)
    with pytest.raises(InvalidTypeError, match="b="):
        scores.compare(one, 1.0)
    for other, message in (
        (scores.nearest_mean(features, labels), "the same name"),
        (scores.knn(features, labels, k=3), "the same options"),
        (scores.knn(features, np.sort(labels)), "the same images"),
        (scores.knn(features, labels, groups=np.arange(40) // 2), "the same images"),
    ):
        with pytest.raises(InvalidValueError, match=message):
            scores.compare(one, other)
    with pytest.raises(InvalidValueError, match="level="):
        one.interval(1.0)


def test_one_group_has_no_error():
    features, labels = drawn()
    score = scores.logme(features, labels, groups=np.zeros(40, int))
    assert np.isnan(score.stderr)
    assert scores.compare(score, score).p_value == 1.0
    with pytest.raises(InvalidValueError, match="groups=.*at least 2"):
        scores.knn(features, labels, groups=np.zeros(40, int))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=90), st.integers(1, 4), st.integers(2, 6))
def test_blocks_are_even_and_keep_groups(labels, size, classes):
    labels = np.array([one % classes for one in labels])
    if len(set(labels)) < 2:
        return
    groups = np.arange(len(labels)) // size
    dealt = scores.blocks(labels, groups)
    count = groups.max() + 1
    assert set(dealt) == set(range(min(16, count)))
    for group in range(count):
        assert len(set(dealt[groups == group])) == 1
    if size == 1:
        for code in range(classes):
            often = np.bincount(dealt[labels == code], minlength=min(16, count))
            assert np.ptp(often) <= 1


def test_names_and_registry():
    assert scores.names()[0] == "linear_probe"
    assert set(scores.names()) == set(SCORES)
    for name, kind in SCORES.items():
        assert kind.name == name and kind.function is getattr(scores, name)
        assert name in scores.names(kind.kinds[0], needs=kind.needs)
    with pytest.raises(InvalidValueError, match="name='nothing'"):
        scores.score("nothing", *drawn())
    with pytest.raises(InvalidTypeError, match="name=3"):
        scores.score(3, *drawn())
    with pytest.raises(InvalidValueError, match="kind="):
        scores.names("nothing")
    with pytest.raises(InvalidValueError, match="needs="):
        scores.names(needs="nothing")


def test_dense_samples():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((5, 3, 4, 4)).astype(np.float16)
    maps = np.kron(np.arange(16).reshape(4, 4), np.ones((3, 3), int))[None].repeat(5, 0)
    samples, labels, groups = scores.dense_samples(features, maps, per_image=7, seed=3)
    assert samples.dtype == np.float16 and groups.tolist() == np.repeat(np.arange(5), 7).tolist()
    for sample, label, group in zip(samples, labels, groups, strict=True):
        np.testing.assert_array_equal(sample, features[group, :, label // 4, label % 4])
    assert len(np.unique(labels[:7])) == 7
    again = scores.dense_samples(
        torch.from_numpy(features), torch.from_numpy(maps), per_image=7, seed=3
    )
    np.testing.assert_array_equal(labels, again[1])
    _, numbers, _ = scores.dense_samples(features, maps[:, None].astype("f"), per_image=99)
    np.testing.assert_allclose(numbers[:16, 0], np.arange(16))
    for broken in (maps[:4], maps[0], maps.astype(float), np.full((5, 1, 2, 2), np.nan)):
        with pytest.raises(InvalidValueError, match="label_maps="):
            scores.dense_samples(features, broken)
    with pytest.raises(InvalidValueError, match="features="):
        scores.dense_samples(features[:, :, 0], maps)
    with pytest.raises(InvalidTypeError, match="label_maps="):
        scores.dense_samples(features, maps.tolist())


def test_label_maps_that_are_refused():
    features = np.random.default_rng(0).standard_normal((6, 3, 4, 4))
    maps = (features[:, 0] > 0).astype(int)
    with pytest.raises(InvalidValueError, match="features=.*maps"):
        scores.label_ridge(features.reshape(6, -1), maps)
    with pytest.raises(InvalidValueError, match="labels=.*two classes"):
        scores.label_ridge(features, np.zeros_like(maps))
    with pytest.raises(InvalidValueError, match="labels="):
        scores.label_ridge(features, np.ones((6, 1, 4, 4)))


@pytest.mark.parametrize("name", ["linear_probe", "knn", "ridge_loo"])
def test_features_that_never_change_are_right_as_often_as_chance(name):
    labels = np.arange(40) % 4
    found = scores.score(name, np.ones((40, 3), np.float32), labels)
    # Some leave-one-out schemes do worse than chance: the class of a held-out image is rarer.
    assert found.facts["accuracy"] <= 0.25 + 1e-9
