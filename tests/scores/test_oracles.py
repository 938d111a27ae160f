"""Every score against what its paper says, computed slowly in float64, and by refitting."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp

from pyattrx import methods, scores
from pyattrx.methods import Summary
from pyattrx.scores import _logistic
from pyattrx.scores._features import read_features
from pyattrx.statistics import jackknife_residuals


def drawn(seed=0, n=60, d=7, k=3, spread=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    labels[:k] = np.arange(k)
    features = rng.standard_normal((n, d)) + spread * rng.standard_normal((k, d))[labels] + 0.5
    return features, labels


def one_hot(labels):
    return (labels[:, None] == np.unique(labels)).astype(float)


def refitted(name, features, labels, **options):
    """Standard error of a jackknife over images that computes everything again."""
    blocks = np.arange(len(labels))
    value = scores.score(name, features, labels, **options).value
    without = [
        scores.score(name, features[blocks != b], labels[blocks != b], **options).value
        for b in range(len(labels))
    ]
    residuals = jackknife_residuals(np.array(value), np.array(without), blocks)
    return float(residuals.stderr())


# --- nearest neighbours


@pytest.mark.parametrize("k", [1, 3, 100])
def test_knn_votes(k):
    features, labels = drawn(spread=0.5)
    groups = np.arange(60) // 2
    score = scores.knn(features, labels, groups=groups, k=k)
    terms, right = [], []
    for i in range(60):
        others = [j for j in range(60) if groups[j] != groups[i]]
        cosine = [
            features[i] @ features[j] / np.linalg.norm(features[i]) / np.linalg.norm(features[j])
            for j in others
        ]
        near = [others[j] for j in np.argsort(cosine)[::-1][:k]]
        share = np.array([np.mean(labels == c) + np.sum(labels[near] == c) for c in range(3)])
        terms.append(np.log(share[labels[i]] / (len(near) + 1)))
        best = np.isclose(share, share.max())
        right.append(best[labels[i]] / best.sum())
    assert score.value == pytest.approx(np.mean(terms), abs=1e-6)
    assert score.facts["accuracy"] == pytest.approx(np.mean(right))
    sums = np.add.reduceat(terms - np.mean(terms), np.arange(0, 60, 2))
    assert score.stderr == pytest.approx(np.sqrt((sums**2).sum() * 30 / 29) / 60, rel=1e-5)


def test_knn_predicts_numbers():
    features, _ = drawn()
    numbers = features[:, :2] @ np.array([[1.0, 2], [0, 1]])
    cosine = features @ features.T
    cosine /= np.sqrt(np.outer(np.diag(cosine), np.diag(cosine)))
    np.fill_diagonal(cosine, -2)
    predicted = np.stack([numbers[np.argsort(row)[-4:]].mean(0) for row in cosine])
    left = np.square(numbers - predicted).sum() / np.square(numbers - numbers.mean(0)).sum()
    assert scores.knn(features, numbers, k=4).value == pytest.approx(1 - left, abs=1e-10)


def test_knn_over_many_tiles(monkeypatch):
    features, labels = drawn(n=97, spread=0.5)
    whole = scores.knn(features, labels)
    monkeypatch.setattr("pyattrx.scores._knn._TILE", 10)
    assert scores.knn(features, labels).value == pytest.approx(whole.value, abs=1e-12)


# --- nearest mean


@pytest.mark.parametrize("size", [1, 3])
def test_nearest_mean_by_leaving_out(size):
    features, labels = drawn(spread=0.6)
    groups = np.arange(60) // size
    right = []
    for i in range(60):
        kept = groups != groups[i]
        means = [features[kept & (labels == c)].mean(0) for c in range(3)]
        right.append(np.argmin([np.linalg.norm(features[i] - m) for m in means]) == labels[i])
    score = scores.nearest_mean(features, labels, groups=groups)
    assert 0.4 < score.value < 1
    assert score.value == pytest.approx(np.mean(right))


# --- ridge regression


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("shape", [(40, 5), (20, 33)])
def test_ridge_by_refitting(size, shape):
    features, labels = drawn(n=shape[0], d=shape[1])
    groups = np.arange(shape[0]) // size
    y = one_hot(labels)
    centred = features - features.mean(0)
    strength = 0.05 * np.square(centred).sum() / min(shape)
    predicted = np.empty_like(y)
    for g in np.unique(groups):
        kept = groups != g
        # An intercept that is not penalised.
        design = np.hstack([centred[kept], np.ones((kept.sum(), 1))])
        penalties = np.diag([strength] * shape[1] + [0.0])
        weights = np.linalg.solve(design.T @ design + penalties, design.T @ y[kept])
        predicted[~kept] = np.hstack([centred[~kept], np.ones((size, 1))]) @ weights
    expected = 1 - np.square(y - predicted).sum() / np.square(y - y.mean(0)).sum()
    score = scores.ridge_loo(features, labels, groups=groups, penalty=0.05)
    assert score.value == pytest.approx(expected, abs=1e-9)
    assert score.facts["accuracy"] == np.mean(predicted.argmax(1) == labels)


# --- linear probe


@pytest.mark.parametrize("shape", [(60, 5), (24, 40)])
def test_logistic_probe_is_that_of_scipy(shape):
    features, labels = drawn(n=shape[0], d=shape[1], spread=0.5)
    n, d = shape
    x = features - features.mean(0)
    x /= np.sqrt(np.square(x).sum(1).mean())
    folds = np.empty(n, int)
    order = np.argsort([list(dict.fromkeys(labels)).index(one) for one in labels], kind="stable")
    folds[order] = np.arange(n) % 4
    terms = np.empty(n)
    for fold in range(4):
        train = folds != fold

        def loss(flat, train=train):
            w = flat.reshape(d + 1, 3)
            logits = x[train] @ w[:-1] + w[-1]
            own = logits[np.arange(train.sum()), labels[train]]
            wrong = np.exp(logits - logsumexp(logits, 1)[:, None]) - one_hot(labels)[train]
            slopes = np.vstack([x[train].T @ wrong, wrong.sum(0)]) / train.sum()
            slopes[:-1] += 0.01 * w[:-1]
            value = (logsumexp(logits, 1) - own).mean() + 0.01 / 2 * np.square(w[:-1]).sum()
            return value, slopes.ravel()

        found = minimize(
            loss, np.zeros(3 * (d + 1)), jac=True, method="BFGS", options={"gtol": 1e-8}
        )
        w = found.x.reshape(d + 1, 3)
        logits = x @ w[:-1] + w[-1]
        p = np.exp(logits - logsumexp(logits, 1)[:, None])
        p = (train.sum() * p + 1 / 3) / (train.sum() + 1)
        terms[~train] = np.log(p[np.arange(n), labels])[~train]
    score = scores.linear_probe(features, labels, folds=4, penalties=[0.01])
    assert score.value == pytest.approx(terms.mean(), abs=1e-6)
    assert score.stderr == pytest.approx(terms.std(ddof=1) / np.sqrt(n), rel=1e-5)


def test_logistic_probe_in_float32_and_with_few_columns_at_once(monkeypatch):
    features, labels = drawn(spread=0.5)
    exact = scores.linear_probe(features, labels)
    rounded = scores.linear_probe(features.astype(np.float32), labels)
    assert rounded.value == pytest.approx(exact.value, abs=1e-4)  # of a likelihood of 0.9
    monkeypatch.setattr("pyattrx.scores._linear_probe._COLUMNS", 1)
    assert scores.linear_probe(features, labels).value == pytest.approx(exact.value, abs=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [-300.0, 1e-3, 1.0, 300.0])
def test_logistic_fits_do_not_depend_on_where_they_begin(dtype, scale):
    """From weights that are sure of everything, and wrong about half of it or all."""
    features, labels = drawn(n=90, d=8, spread=2.0)
    design = _logistic.Design.of(read_features(features.astype(dtype), 90))
    columns = one_hot(labels).astype(dtype)
    training = np.arange(90)[:, None] % 3 != np.arange(3)

    def loss(weights):
        weights = weights.astype(float)
        logits = np.einsum("nr,rfk->nfk", design.x.astype(float), weights[:-1]) + weights[-1]
        own = np.einsum("nfk,nk->nf", logits, columns)
        lost = (logsumexp(logits, axis=2) - own) * training
        return lost.sum(0) / training.sum(0) + 1e-3 / 2 * np.square(weights[:-1]).sum((0, 2))

    solve = design.solver(1e-3)
    cold, _ = _logistic.fit(design, columns, training, 1e-3, solve)
    noise = np.random.default_rng(4).standard_normal(cold.shape)
    start = (scale * (cold + noise)).astype(dtype)
    warm, probabilities = _logistic.fit(design, columns, training, 1e-3, solve, start)
    # Where fits of either type end; the losses are about 0.03.
    assert loss(warm) == pytest.approx(loss(cold), abs=1e-10 if dtype == np.float64 else 2e-6)
    logits = np.einsum("nr,rfk->nfk", design.x.astype(float), warm[:-1]) + warm[-1]
    expected = np.exp(logits - logsumexp(logits, axis=2)[:, :, None])
    np.testing.assert_allclose(probabilities, expected, atol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [8, 40])
def test_logistic_steps_divide_by_the_same_bound_in_principal_directions(d, dtype):
    features, labels = drawn(n=24, d=d)
    design = _logistic.Design.of(read_features(features.astype(dtype), 24))
    rounding = 100 * np.finfo(dtype).eps
    gram = design.x.astype(float).T @ design.x.astype(float)
    wide = d > 24
    assert design.gram.ndim == (1 if wide else 2)
    whole = np.diag(design.gram) if wide else design.gram
    np.testing.assert_allclose(whole, gram, atol=rounding * np.trace(gram))
    gradient = np.random.default_rng(0).standard_normal((len(gram) + 1, 2, 3)).astype(dtype)
    step = design.solver(0.1)(gradient)
    bound = gram / 48 + 0.1 * np.eye(len(gram))
    expected = np.linalg.solve(bound, gradient[:-1].reshape(-1, 6)).reshape(-1, 2, 3)
    np.testing.assert_allclose(step[:-1], expected, atol=rounding * np.abs(expected).max())
    assert np.array_equal(step[-1], 2 * gradient[-1])


def test_images_that_a_logistic_fit_is_not_trained_on_have_no_say():
    features, labels = drawn(n=60, d=5)
    columns = one_hot(labels)
    design = _logistic.Design.of(read_features(features, 60))
    solve = design.solver(1e-2)
    training = (np.arange(60) % 4 != 0)[:, None]
    weights, probabilities = _logistic.fit(design, columns, training, 1e-2, solve)
    other = np.where(training, columns, np.roll(columns, 1, axis=1))
    moved = _logistic.Design(np.where(training, design.x, 9 * design.x), design.gram)
    same, others = _logistic.fit(moved, other, training, 1e-2, solve)
    np.testing.assert_allclose(same, weights, atol=1e-12)
    used = training[:, 0]
    np.testing.assert_allclose(others[used], probabilities[used], atol=1e-12)
    # All have probabilities, of weights that are best for those that it was trained on.
    logits = np.einsum("nr,rfk->nfk", design.x, weights[:-1]) + weights[-1]
    expected = np.exp(logits - logsumexp(logits, axis=2)[:, :, None])
    np.testing.assert_allclose(probabilities, expected, atol=1e-12)
    wrong = (probabilities - columns[:, None])[used]
    slope = np.einsum("nr,nfk->rfk", design.x[used], wrong) / used.sum() + 1e-2 * weights[:-1]
    assert np.abs(slope).max() < 1e-5


@pytest.mark.parametrize("d", [4, 50])
def test_ridge_probe_by_refitting(d):
    features, _ = drawn(n=30, d=d)
    numbers = np.stack([features[:, 0], features[:, 1] ** 2], 1)
    folds = np.empty(30, int)
    folds[np.argsort(numbers.sum(1), kind="stable")] = np.arange(30) % 5
    best = -np.inf
    for penalty in (1.0, 0.1):
        left = 0.0
        for fold in range(5):
            train = folds != fold
            x, y = features[train], numbers[train]
            mx, my = x.mean(0), y.mean(0)
            gram = (x - mx).T @ (x - mx)
            strength = penalty * np.trace(gram) / min(d, 24)
            w = np.linalg.solve(gram + strength * np.eye(d), (x - mx).T @ (y - my))
            left += np.square(numbers[~train] - my - (features[~train] - mx) @ w).sum()
        best = max(best, 1 - left / np.square(numbers - numbers.mean(0)).sum())
    found = scores.linear_probe(features, numbers, penalties=[0.1, 1.0])
    assert found.value == pytest.approx(best, abs=1e-9)


# --- label ridge


def by_class(labels):
    """Images by class, in the order in which classes come."""
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(first[codes], kind="stable")


def compared(features, latent, order, penalty=0.1):
    """What the directional score between networks says of images in an order.

    They go to the halves in turn, and to blocks two at a time.
    """
    features, latent = features[order], latent[order]
    blocks = np.arange(len(order)) // 2 % 16
    method = methods.NormalizedRidge(penalty=penalty)
    wide = torch.from_numpy(features)
    unit = (wide.double() / wide.double().norm(dim=1, keepdim=True)).to(wide.dtype)
    latent = torch.from_numpy(latent)
    source, target = (
        method.summarize({"output": a[:, None].clone(), "features": b[:, None].clone()})
        for a, b in ((latent, unit), (latent, unit))
    )
    assert isinstance(source, Summary)
    values, without = method.compare([target], [source], np.arange(len(blocks)), blocks)
    residuals = jackknife_residuals(values, without, blocks)
    return float(values[0, 0]), float(residuals.stderr()[0, 0])


@pytest.mark.parametrize("shape", [(60, 5), (30, 80), (40, 6, 4, 3)])
def test_label_ridge_is_normalized_ridge_on_one_hot_labels(shape):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, shape[0])
    features = rng.standard_normal(shape) + labels.reshape(-1, *[1] * (len(shape) - 1))
    score = scores.label_ridge(features, labels)
    expected = compared(features, one_hot(labels), by_class(labels))
    assert (score.value, score.stderr) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["label_ridge", "linear_probe", "ridge_loo", "knn"])
@pytest.mark.parametrize("classes", [2, 4])
def test_classes_that_take_turns_are_scored_like_sorted_ones(name, classes):
    """`Task.subsample` gives one class after the other; halves by place would have one each."""
    labels = np.arange(64) % classes
    noise = np.random.default_rng(3).standard_normal((64, 8))
    features = noise + 2 * np.eye(classes, 8)[labels]
    order = by_class(labels)
    turns = scores.score(name, features, labels)
    sorted_ = scores.score(name, features[order], labels[order])
    assert (turns.value, turns.stderr) == pytest.approx((sorted_.value, sorted_.stderr), rel=1e-6)
    assert turns.value > scores.score(name, noise, labels).value + 0.1
    assert turns.stderr > 0


def test_label_ridge_of_float32_and_pooled():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 40)
    features = (rng.standard_normal((40, 6, 5, 5)) + labels[:, None, None, None]).astype("f")
    plain = scores.label_ridge(features, labels)
    expected = compared(features, one_hot(labels), by_class(labels))
    assert (plain.value, plain.stderr) == pytest.approx(expected, abs=1e-9)
    unit = features.astype(float) / np.linalg.norm(features.astype(float), axis=1, keepdims=True)
    pooled = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(unit), 2).numpy()
    y = one_hot(labels) - one_hot(labels).mean(0)
    x = pooled.reshape(40, -1)
    order = by_class(labels)
    halves = [order[h::2] for h in (0, 1)]
    r2 = []
    for fit, test in (halves, halves[::-1]):
        mx, my = x[fit].mean(0), y[fit].mean(0)
        u = x[fit] - mx
        w = np.linalg.solve(
            u.T @ u + 0.1 * np.square(u).sum() / 20 * np.eye(24), u.T @ (y[fit] - my)
        )
        left = np.square(y[test] - my - (x[test] - mx) @ w).sum()
        r2.append(1 - left / np.square(y[test] - y[test].mean(0)).sum())
    found = scores.label_ridge(features, labels, pool=2)
    assert found.value == pytest.approx(np.mean(r2), abs=1e-6)


@pytest.mark.parametrize("numbers", [False, True])
def test_label_ridge_of_maps(numbers):
    rng = np.random.default_rng(2)
    features = rng.standard_normal((30, 5, 6, 6))
    maps = np.kron(features[:, 0], np.ones((2, 2)))[:, :11, :11]
    maps = maps + 0.3 * rng.standard_normal(maps.shape)
    if numbers:
        labels = latent = maps[:, None]
        order = np.argsort(latent.mean((2, 3)).sum(1), kind="stable")
    else:
        labels = (maps > 0).astype(np.int32) + (maps > 1)
        classes = list(dict.fromkeys(labels.ravel()))  # as they come
        latent = np.moveaxis(labels[..., None] == np.array(classes), 3, 1).astype(float)
        often = latent.sum((2, 3))
        order = sorted(range(30), key=lambda i: (often[i].argmax(), often[i].max()))
    score = scores.label_ridge(features, labels)
    expected = compared(features, latent, np.array(order))
    assert score.value > 0.1
    assert (score.value, score.stderr) == pytest.approx(expected, abs=1e-9)


# --- LogME


def evidence(x, y, alpha, beta):
    """Log density of labels whose covariance is that of noise and of weights."""
    covariance = np.eye(len(y)) / beta + x @ x.T / alpha
    value = np.linalg.slogdet(2 * np.pi * covariance)[1] + y @ np.linalg.solve(covariance, y)
    return -value / 2 / len(y)


@pytest.mark.parametrize("shape", [(40, 5), (20, 30)])
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_logme_is_the_largest_evidence(shape, kind):
    features, labels = drawn(n=shape[0], d=shape[1], spread=0.5)
    noise = np.random.default_rng(5).standard_normal((shape[0], 2))
    numbers = 300 * (features[:, :2] + noise)
    columns = one_hot(labels) if kind == "classes" else numbers
    best = []
    for y in columns.T:
        starts = [(a, b) for a in (-4.0, 0.0, 4.0) for b in (-4.0, 0.0, 4.0)]
        starts = [(a - 2 * np.log(y.std()), b - 2 * np.log(y.std())) for a, b in starts]
        found = [
            minimize(lambda p, y=y: -evidence(features, y, *np.exp(p)), s, method="Nelder-Mead",
                     options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 2000}).fun
            for s in starts
        ]  # fmt: skip
        best.append(-min(found))
    score = scores.logme(features, labels if kind == "classes" else numbers)
    assert score.value == pytest.approx(np.mean(best), abs=1e-6)


# --- H-score


@pytest.mark.parametrize("d", [4, 70])
def test_h_score_by_a_pseudo_inverse(d):
    features, labels = drawn(d=d)
    x = features - features.mean(0)
    means = np.stack([x[labels == c].mean(0) for c in range(3)])[labels]
    expected = np.trace(np.linalg.pinv(x.T @ x / 60, rcond=1e-10) @ (means.T @ means / 60))
    assert scores.h_score(features, labels, shrinkage=0).value == pytest.approx(expected)


@pytest.mark.parametrize("d", [4, 70])
def test_h_score_shrinks_as_ledoit_and_wolf_do(d):
    features, labels = drawn(d=d)
    x = features - features.mean(0)
    covariance = x.T @ x / 60
    mean = np.trace(covariance) / d
    distance = np.square(covariance - mean * np.eye(d)).sum()
    error = sum(np.square(np.outer(one, one) - covariance).sum() for one in x) / 60**2
    s = min(error / distance, 1)
    shrunk = (1 - s) * covariance + s * mean * np.eye(d)
    means = np.stack([x[labels == c].mean(0) for c in range(3)])[labels]
    expected = np.trace(np.linalg.solve(shrunk, means.T @ means / 60))
    score = scores.h_score(features, labels)
    assert score.facts["shrinkage"] == pytest.approx(s)
    assert score.value == pytest.approx(expected)


# --- TransRate


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("d", [4, 30, 70])
def test_transrate_by_determinants(d, normalize):
    features, labels = drawn(d=d)
    z = features - features.mean(0)
    if normalize:
        z /= np.sqrt(np.square(z).sum(1).mean())

    def rate(z):
        return np.linalg.slogdet(np.eye(d) + z.T @ z / (len(z) * 0.01))[1] / 2

    expected = rate(z) - sum(np.mean(labels == c) * rate(z[labels == c]) for c in range(3))
    score = scores.transrate(features, labels, epsilon=0.01, normalize=normalize)
    assert score.value == pytest.approx(expected)


# --- standard errors


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("logme", {}),
        ("h_score", {"shrinkage": 0.0}),
        ("h_score", {"shrinkage": 0.3}),
        ("h_score", {}),
        ("transrate", {}),
        ("transrate", {"normalize": False}),
    ],
)
def test_derivatives_give_the_jackknife_of_many_images(name, options):
    features, labels = drawn(n=400, d=3, spread=0.5)
    score = scores.score(name, features, labels, **options)
    # Apart by about D over the images of a class.
    assert score.stderr == pytest.approx(refitted(name, features, labels, **options), rel=0.04)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("logme", {}),
        ("h_score", {"shrinkage": 0.0}),
        ("h_score", {"shrinkage": 0.3}),
        ("transrate", {}),
        ("transrate", {"normalize": False}),
    ],
)
@pytest.mark.parametrize("d", [3, 8])
def test_derivatives_are_those_by_the_weights_of_images(name, options, d):
    features, labels = drawn(n=12, d=d, spread=0.5)
    copies = 2000
    score = scores.score(name, np.tile(features, (copies, 1)), np.tile(labels, copies), **options)
    derivatives = score.residuals.sums[:12]
    more = [
        scores.score(
            name,
            np.concatenate([np.tile(features, (copies, 1)), features[i : i + 1]]),
            np.concatenate([np.tile(labels, copies), labels[i : i + 1]]),
            **options,
        ).value
        for i in range(12)
    ]
    changes = (np.array(more) - score.value) * (12 * copies + 1)
    np.testing.assert_allclose(derivatives, changes - changes.mean(), atol=2e-2 * np.ptp(changes))


@pytest.mark.parametrize("name", ["logme", "h_score", "transrate", "ridge_loo"])
def test_errors_are_those_between_samples_of_images(name):
    """The spread of scores over fresh images, against the mean of what each says of itself."""
    found = []
    means = np.random.default_rng(9).standard_normal((3, 4))
    for seed in range(150):
        rng = np.random.default_rng(seed)
        labels = np.arange(120) % 3
        found.append(scores.score(name, rng.standard_normal((120, 4)) + means[labels], labels))
    spread = np.std([one.value for one in found], ddof=1)
    # 150 samples tell their own spread to 6 %, one standard error.
    assert np.mean([one.stderr for one in found]) == pytest.approx(spread, rel=0.25)
