"""LEEP, NCE, N-LEEP, GBC, PARC and SFDA against their papers, in loops."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, spearmanr

from pyattrx import scores
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.statistics import jackknife_residuals


def drawn(seed=0, n=60, d=5, k=3, spread=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    labels[:k] = np.arange(k)
    return rng.standard_normal((n, d)) + spread * rng.standard_normal((k, d))[labels], labels


def probabilities(seed=0, n=60, s=4):
    return np.random.default_rng(seed).dirichlet(np.ones(s), n)


def refitted(compute, first, labels):
    """Value and standard error of a jackknife that computes everything again."""
    blocks = scores.blocks(labels)
    value = compute(first, labels)
    without = [compute(first[blocks != b], labels[blocks != b]) for b in range(blocks.max() + 1)]
    residuals = jackknife_residuals(np.array(value), np.array(without), blocks)
    return value, float(residuals.stderr())


# --- LEEP and NCE


def slow_leep(theta, labels):
    joint = {}
    for y, row in zip(labels, theta, strict=True):
        for z, p in enumerate(row):
            joint[y, z] = joint.get((y, z), 0.0) + p / len(labels)
    logs = []
    for y, row in zip(labels, theta, strict=True):
        total = 0.0
        for z, p in enumerate(row):
            margin = sum(joint.get((other, z), 0.0) for other in set(labels))
            total += joint[y, z] / margin * p
        logs.append(np.log(total))
    return np.mean(logs)


def slow_nce(predictions, labels):
    def entropy(keys):
        often = np.unique(keys, return_counts=True, axis=0)[1] / len(keys)
        return -(often * np.log(often)).sum()

    return entropy(predictions) - entropy(np.stack([predictions, labels], 1))


def test_leep_worked_by_hand():
    theta = np.array([[0.75, 0.25], [0.25, 0.75]])
    # P(a | z) is 3/4 and 1/4: the expected probability of each image's label is 9/16 + 1/16.
    assert scores.leep(theta, ["a", "b"]).value == pytest.approx(np.log(5 / 8))
    uneven = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    # z = 0: a 1, b .5; z = 1: b 1.5. P(a | 0) = 2/3, P(b | 0) = 1/3, P(b | 1) = 1.
    expected = np.log([2 / 3, (1 / 3 + 1) / 2, 1.0]).mean()
    assert scores.leep(uneven, ["a", "b", "b"]).value == pytest.approx(expected)


def test_leep_in_loops():
    theta, labels = probabilities(), drawn()[1]
    score = scores.leep(theta, labels)
    assert (score.value, score.stderr) == pytest.approx(refitted(slow_leep, theta, labels))


def test_nce_by_entropies():
    labels = drawn()[1]
    predictions = np.random.default_rng(3).integers(0, 4, 60) + labels
    score = scores.nce(predictions, labels)
    assert (score.value, score.stderr) == pytest.approx(refitted(slow_nce, predictions, labels))
    swapped = slow_nce(labels, predictions)
    assert abs(score.value - swapped) > 0.1


def test_nce_is_leep_of_certain_predictions():
    labels = drawn()[1]
    predictions = np.random.default_rng(3).integers(0, 4, 60)
    certain = torch.nn.functional.one_hot(torch.from_numpy(predictions), 4).half()
    assert scores.leep(certain, labels).value == pytest.approx(
        scores.nce(predictions.astype(str), labels).value
    )


def test_leep_of_classes_that_never_occur_and_of_one_block():
    theta, labels = probabilities(), drawn()[1]
    padded = np.hstack([theta, np.zeros((60, 3))])
    assert scores.leep(padded, labels).value == pytest.approx(scores.leep(theta, labels).value)
    alone = scores.leep(theta[:12], np.arange(12))
    assert np.isfinite(alone.value) and np.isfinite(alone.stderr)
    low = -np.log(2)
    useless = scores.leep(np.ones((10, 1)), np.arange(10) % 2)
    assert useless.value == pytest.approx(low)


def test_what_leep_and_nce_refuse():
    theta, labels = probabilities(), drawn()[1]
    for broken in (np.log(theta), 2 * theta, -theta, theta[:, :2], theta[:-1], theta[:, 0]):
        with pytest.raises(InvalidValueError, match="probabilities="):
            scores.leep(broken, labels)
    theta[4, 1] = np.nan
    with pytest.raises(InvalidValueError, match="probabilities=.*image 4"):
        scores.leep(theta, labels)
    with pytest.raises(InvalidTypeError, match="probabilities="):
        scores.leep(np.eye(3, dtype=int)[labels], labels)
    with pytest.raises(InvalidValueError, match="labels="):  # swapped
        scores.leep(probabilities(), probabilities())
    with pytest.raises(InvalidTypeError, match="predictions="):
        scores.nce(probabilities()[:, 0], labels)
    with pytest.raises(InvalidValueError, match="predictions="):
        scores.nce(labels[:-1], labels)


# --- GBC


@pytest.mark.parametrize("spherical", [False, True])
def test_gbc_in_loops(spherical):
    features, labels = drawn(spread=0.7)
    x = features - features.mean(0)
    _, _, directions = np.linalg.svd(x)
    x = x @ directions[:3].T

    def slow(x, labels):
        total = 0.0
        pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
        for a, b in pairs:
            p, q = x[labels == a], x[labels == b]
            s, t = p.var(0), q.var(0)
            if spherical:
                s, t = (np.full(3, one.mean()) for one in (s, t))
            s, t = np.diag(s), np.diag(t)
            middle, apart = (s + t) / 2, p.mean(0) - q.mean(0)
            distance = apart @ np.linalg.inv(middle) @ apart / 8
            distance += np.log(
                np.linalg.det(middle) / np.sqrt(np.linalg.det(s) * np.linalg.det(t))
            ) / 2  # fmt: skip
            total += np.exp(-distance)
        return -total / len(pairs)

    score = scores.gbc(
        features, labels, components=3, covariance="spherical" if spherical else "diagonal"
    )
    # The jackknife holds the components.
    assert (score.value, score.stderr) == pytest.approx(refitted(slow, x, labels))
    assert score.facts == {"components": 3}


def test_gbc_refuses():
    features, labels = drawn()
    with pytest.raises(InvalidValueError, match="covariance="):
        scores.gbc(features, labels, covariance="full")
    with pytest.raises(InvalidValueError, match="components="):
        scores.gbc(features, labels, components=0)


# --- PARC


@pytest.mark.parametrize("kind", ["classes", "numbers", "several"])
def test_parc_is_a_rank_correlation(kind):
    features, classes = drawn()
    several = features[:, :3] + np.random.default_rng(1).standard_normal((60, 3))
    labels = {"classes": classes, "numbers": features[:, 0], "several": several}[kind]

    def slow(features, labels):
        pairs = np.triu_indices(len(features), 1)
        ours = 1 - np.corrcoef(features)[pairs]
        if kind == "numbers":
            theirs = np.abs(labels[:, None] - labels)[pairs]
        else:
            columns = np.eye(3)[labels] if kind == "classes" else labels
            theirs = np.round(1 - np.corrcoef(columns)[pairs], 12)
        return spearmanr(ours, theirs).statistic

    score = scores.parc(features, labels)
    assert (score.value, score.stderr) == pytest.approx(refitted(slow, features, labels))


def test_parc_of_some_images():
    features, labels = drawn(n=300)
    score = scores.parc(features, labels, images=90)
    assert score.facts == {"images": 90}
    whole = scores.parc(features, labels)
    assert abs(score.value - whole.value) < 4 * score.stderr
    with pytest.raises(InvalidValueError, match="images="):
        scores.parc(features, labels, images=2)
    with pytest.raises(InvalidValueError, match="labels=.*three images"):
        scores.parc(features[:2], [0, 1])


# --- N-LEEP


def test_nleep_is_leep_of_a_mixture_at_its_optimum():
    """Posteriors of the parts, computed by SciPy from the posteriors' own moments."""
    features, labels = drawn(n=200, d=3, spread=6.0)
    score = scores.nleep(features, labels, components=3, variance=1.0)
    x = features - features.mean(0)
    x = x @ np.linalg.svd(x)[2].T
    theta = np.eye(3)[labels]
    for _ in range(200):
        weights = theta.mean(0)
        means = theta.T @ x / theta.sum(0)[:, None]
        variances = theta.T @ x**2 / theta.sum(0)[:, None] - means**2
        logs = np.stack(
            [
                np.log(w) + multivariate_normal(m, np.diag(v)).logpdf(x)
                for w, m, v in zip(weights, means, variances, strict=True)
            ],
            1,
        )
        theta = np.exp(logs - logsumexp(logs, 1)[:, None])
    assert score.facts == {"components": 3, "principal": 3}
    # Ours stops where an image gains 1e-3 nats.
    assert score.value == pytest.approx(slow_leep(theta, labels), abs=1e-3)


@pytest.mark.parametrize("spread", [1.0, 2.0, 3e4])
@pytest.mark.parametrize(("n", "d"), [(700, 40), (60, 90)])
def test_nleep_of_float32_is_that_of_the_same_numbers_in_float64(n, d, spread):
    """Also where clusters are so tight that their variance is lost beside their squared mean."""
    features, labels = drawn(n=n, d=d, spread=spread)
    single = features.astype(np.float32)
    narrow, wide = scores.nleep(single, labels), scores.nleep(single.astype(float), labels)
    assert narrow.facts == wide.facts
    assert narrow.value == pytest.approx(wide.value, abs=1e-5)
    assert narrow.stderr == pytest.approx(wide.stderr, rel=1e-3)


def test_nleep_takes_components_and_a_seed():
    features, labels = drawn()
    one = scores.nleep(features, labels, components=1)
    often = np.bincount(labels) / 60
    assert one.value == pytest.approx((often * np.log(often)).sum())
    assert scores.nleep(features, labels).value == scores.nleep(features, labels).value
    seeds = {scores.nleep(features, labels, seed=seed).value for seed in range(4)}
    assert len(seeds) > 1
    for option, value, error in (
        ("components", 0, InvalidValueError),
        ("variance", 0.0, InvalidValueError),
        ("variance", "1", InvalidTypeError),
        ("seed", -1, InvalidValueError),
    ):
        with pytest.raises(error, match=f"{option}="):
            scores.nleep(features, labels, **{option: value})


# --- SFDA


def fisher(x, labels, shrinkage):
    """Log probabilities by explicit directions, and the within-class covariance."""
    means = np.stack([x[labels == c].mean(0) for c in np.unique(labels)])
    left = x - means[labels]
    within = left.T @ left / len(x)
    level = shrinkage if shrinkage is not None else np.exp(-5 * np.linalg.eigvalsh(within)[-1])
    shrunk = (1 - level) * within + level * np.trace(within) / x.shape[1] * np.eye(x.shape[1])
    values, vectors = np.linalg.eigh(shrunk)
    directions = vectors / np.sqrt(values)
    u, m = x @ directions, means @ directions
    logits = u @ m.T - np.square(m).sum(1) / 2 + np.log(np.bincount(labels) / len(x))
    return logits - logsumexp(logits, 1)[:, None], level


@pytest.mark.parametrize("d", [4, 80])
def test_sfda_in_steps(d):
    features, labels = drawn(d=d, spread=0.6)
    logs, level = fisher(features - features.mean(0), labels, None)
    p = np.exp(logs[np.arange(60), labels])[:, None]
    others = np.stack([features[labels != c].mean(0) for c in range(3)])[labels]
    mixed = p * features + (1 - p) * others
    logs, _ = fisher(mixed - mixed.mean(0), labels, level)
    score = scores.sfda(features, labels)
    own = logs[np.arange(60), labels]
    assert score.value == pytest.approx(own.mean(), rel=1e-7)
    assert score.stderr == pytest.approx(own.std(ddof=1) / np.sqrt(60), rel=1e-6)
    assert score.facts["shrinkage"] == pytest.approx(level)


def test_sfda_depends_on_scale_and_says_so():
    features, labels = drawn(spread=0.6)
    assert not scores.SCORES["sfda"].scale_free
    values = [scores.sfda(scale * features, labels).value for scale in (0.5, 1.0, 2.0)]
    assert np.ptp(values) > 1e-3


def test_transrate_without_normalising_depends_on_scale():
    features, labels = drawn()
    values = [
        scores.transrate(scale * features, labels, normalize=False, epsilon=1.0).value
        for scale in (0.5, 1.0, 2.0)
    ]
    assert values == sorted(values) and np.ptp(values) > 0.1
