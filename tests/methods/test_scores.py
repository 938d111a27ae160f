"""Every score against the formula written out, declared invariances, degenerate features."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats
from scipy.spatial.distance import pdist

from pyattrx import methods
from pyattrx.evaluate import mean_ranks
from pyattrx.methods import FEATURE_METHODS

# Of forward passes alone: what others see of a network is not its answers.
FORWARD = [name for name, kind in FEATURE_METHODS.items() if "gradients" not in kind().needs]
SYMMETRIC = ["rsa", "cka", "dds", "edges", "svcca"]
DIRECTIONAL = ["ridge", "normalized_ridge", "perturbation_response"]


def summary(kind, latent, features=None, **options):
    """What a descriptor keeps of outputs [N, ...] (or, for regressions, [N, draws, ...])."""
    observed = {"output": torch.tensor(np.array(latent))}
    if features is not None:
        observed["features"] = torch.tensor(np.array(features))
    elif kind in DIRECTIONAL[1:]:
        observed["features"] = torch.tensor(unit(np.array(latent)))
    return FEATURE_METHODS[kind](**options).summarize(observed)


def compare(kind, targets, sources, groups=None, blocks=None, **options):
    first = next(iter(targets[0].arrays.values()))
    groups = np.arange(len(first)) if groups is None else np.asarray(groups)
    blocks = groups if blocks is None else np.asarray(blocks)
    descriptor = FEATURE_METHODS[kind](**options)
    return descriptor.compare(targets, sources, groups, blocks)


def score(kind, target, source, **options):
    """One score; the target's second output and the source's first are not looked at."""
    values, _ = compare(kind, [target], [source], **options)
    return float(values[0, 0])


def unit(c):
    """Unit length over the channels [N, draws, C, ...]."""
    return c / np.linalg.norm(c, axis=2, keepdims=True)


def flat(x):
    return np.reshape(np.array(x, float), (len(x), -1))


# The formulas


def rsa(z, c):
    return stats.spearmanr(pdist(flat(z), "correlation"), pdist(flat(c), "correlation")).statistic


def edges(z, c):
    cosines = [1 - pdist(flat(x) - flat(x).mean(0), "cosine") for x in (z, c)]
    return stats.spearmanr(*cosines).statistic


def hsic(k, kk):
    n = len(k)
    h = np.eye(n) - np.ones((n, n)) / n
    return np.trace(k @ h @ kk @ h) / (n - 1) ** 2


def cka(z, c):
    k, kk = flat(z) @ flat(z).T, flat(c) @ flat(c).T
    return hsic(k, kk) / np.sqrt(hsic(k, k) * hsic(kk, kk))


def dds(z, c):
    z, c = ((flat(x) - flat(x).mean(0)) / flat(x).std(0) for x in (z, c))
    return np.linalg.norm(z.T @ c) ** 2 / np.linalg.norm(z.T @ z) / np.linalg.norm(c.T @ c)


def svcca(z, c, variance=0.99):
    parts = []
    for x in (z, c):
        u, s, _ = np.linalg.svd(flat(x) - flat(x).mean(0), full_matrices=False)
        share = np.cumsum(s**2) / (s**2).sum()
        parts.append(u[:, : int(np.argmax(share >= variance)) + 1])
    r = min(p.shape[1] for p in parts)
    # Cosines of the principal angles between the two subspaces.
    return np.cos(linalg.subspace_angles(*parts)).sum() / r


FORMULAS = {"rsa": rsa, "edges": edges, "cka": cka, "dds": dds, "svcca": svcca}


def ridge_fit(x, y, penalty, intercept):
    """Coefficients and intercept of ridge regression as least squares on more rows."""
    mean_x, mean_y = (x.mean(0), y.mean(0)) if intercept else (0 * x[0], 0 * y[0])
    rows = np.concatenate([x - mean_x, np.sqrt(penalty) * np.eye(x.shape[1])])
    more = np.concatenate([y - mean_y, np.zeros((x.shape[1], y.shape[1]))])
    weights = np.linalg.lstsq(rows, more, rcond=None)[0]
    return weights, mean_y - mean_x @ weights


def ridge_left_out(z, c, groups, penalty=0.01):
    """R^2 of ridge regression, every group really left out."""
    z, c = flat(z), flat(c)
    strength = penalty * ((c - c.mean(0)) ** 2).sum() / len(c)
    left = 0.0
    for group in np.unique(groups):
        out = groups == group
        weights, constant = ridge_fit(c[~out], z[~out], strength, intercept=True)
        left += ((z[out] - c[out] @ weights - constant) ** 2).sum()
    return 1 - left / ((z - z.mean(0)) ** 2).sum()


def halves_r2(z, u, halves, penalty, intercept):
    """R^2 from one half of the samples' probes to the other, z, u [N, L, ...], both ways."""
    r2 = []
    for half in (0, 1):
        fit, test = halves != half, halves == half
        x, y = u[fit].reshape(-1, u.shape[2]), z[fit].reshape(-1, z.shape[2])
        x2, y2 = u[test].reshape(-1, u.shape[2]), z[test].reshape(-1, z.shape[2])
        centred = x - x.mean(0) if intercept else x
        strength = penalty * (centred**2).sum() / min(x.shape)
        weights, constant = ridge_fit(x, y, strength, intercept)
        total = ((y2 - y2.mean(0)) ** 2).sum() if intercept else (y2**2).sum()
        r2.append(1 - ((y2 - x2 @ weights - constant) ** 2).sum() / total)
    return np.mean(r2)


def pooled(x, height, width):
    """Means over equal boxes of maps [..., H, W]."""
    h, w = x.shape[-2] // height, x.shape[-1] // width
    return x.reshape(*x.shape[:-2], height, h, width, w).mean((-3, -1))


def locations(x):
    """Maps [N, draws, C, H, W] as samples [N, L, C]."""
    return np.moveaxis(x, 2, -1).reshape(len(x), -1, x.shape[2])


@pytest.mark.parametrize("kind", FORMULAS)
@pytest.mark.parametrize("shapes", [((9,), (4,)), ((3, 4, 2), (40,)), ((), (5, 3))])
def test_symmetric_scores(kind, shapes):
    if kind == "rsa":  # one feature has no correlation
        shapes = [shape or (7,) for shape in shapes]
    rng = np.random.default_rng(1)
    z, c = (rng.normal(size=(12, *shape)) + 0.5 for shape in shapes)
    expected = FORMULAS[kind](z, c)
    assert score(kind, summary(kind, z), summary(kind, c)) == pytest.approx(expected, abs=1e-12)
    if kind != "svcca":  # there it is 1 as soon as few probes are spanned by many features
        assert abs(expected) < 0.99


@pytest.mark.parametrize("kind", FORMULAS)
def test_without_each_block(kind):
    """What the jackknife sees is the score of the other probes alone."""
    rng = np.random.default_rng(2)
    outputs = rng.normal(size=(3, 14, 5)) @ rng.normal(size=(5, 5)) + 1
    blocks = np.arange(14) % 4
    kept = [summary(kind, z) for z in outputs]
    values, without = compare(kind, kept, kept, blocks=blocks)
    assert (values == values.T).all()
    assert np.diag(values) == pytest.approx(np.ones(3))
    for (i, z), (j, c) in itertools.product(enumerate(outputs), repeat=2):
        assert values[i, j] == pytest.approx(FORMULAS[kind](z, c))
        for block in range(4):
            keep = blocks != block
            expected = FORMULAS[kind](z[keep], c[keep])
            # DDS: the deviations are still those of all probes.
            tolerance = 0.1 if kind == "dds" else 1e-10
            assert without[block, i, j] == pytest.approx(expected, abs=tolerance)


def test_ties_share_their_ranks():
    values = np.random.default_rng(0).integers(0, 5, 50).astype(float)
    assert (mean_ranks(values) == stats.rankdata(values)).all()
    # Few probes repeated: many equal dissimilarities.
    rng = np.random.default_rng(3)
    z = np.sign(rng.normal(size=(10, 8)))
    c = np.sign(rng.normal(size=(10, 8)))
    z[:, 0], z[:, 1] = 1, -1  # no probe is constant
    c[:, 0], c[:, 1] = 1, -1
    distances = [np.round(pdist(x, "correlation"), 9) for x in (z, c)]
    assert len(np.unique(distances[0])) < 30
    expected = stats.spearmanr(*distances).statistic
    assert score("rsa", summary("rsa", z), summary("rsa", c)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("groups", [np.arange(11), np.arange(11) // 2, np.arange(11) % 3])
@pytest.mark.parametrize("width", [3, 40])
@pytest.mark.parametrize("penalty", [0.01, 2.0])
def test_leave_one_out_ridge(groups, width, penalty):
    rng = np.random.default_rng(4)
    c = rng.normal(size=(11, width)) + 2
    z = c[:, :2] @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(11, 6))
    other = rng.normal(size=(11, 2))
    target, source = summary("ridge", z, other), summary("ridge", other, c)
    values, without = compare("ridge", [target], [source], groups, penalty=penalty)
    assert values[0, 0] == pytest.approx(ridge_left_out(z, c, groups, penalty), abs=1e-10)
    for block in np.unique(groups):
        keep = groups != block
        expected = ridge_left_out(z[keep], c[keep], groups[keep], penalty)
        assert without[block, 0, 0] == pytest.approx(expected, abs=1e-10)


def test_ridge_is_an_inner_product():
    """Query and key are as the design has them where every probe is a group of its own."""
    rng = np.random.default_rng(5)
    z, c = rng.normal(size=(9, 4)), rng.normal(size=(9, 6))
    keep = groups = np.arange(9)
    descriptor = methods.Ridge()
    query = descriptor.query(summary("ridge", z), keep, groups).reshape(9, 9)
    key = descriptor.key(summary("ridge", c), keep, groups).reshape(9, 9)
    zc, cc = z - z.mean(0), c - c.mean(0)
    hat = cc @ np.linalg.inv(cc.T @ cc + 0.01 * (cc**2).sum() / 9 * np.eye(6)) @ cc.T + 1 / 9
    left_out = np.diag(1 / (1 - np.diag(hat))) @ (np.eye(9) - hat)
    assert query == pytest.approx(zc @ zc.T / (zc**2).sum())
    assert key == pytest.approx(np.eye(9) - 1 / 9 - left_out.T @ left_out)


def test_the_source_predicts_the_target_and_not_the_other_way():
    rng = np.random.default_rng(6)
    c = rng.normal(size=(60, 8))
    z = c[:, :1] ** 2 + c[:, :2] @ np.array([[0.0], [3.0]])  # less than c knows
    kept = [summary("ridge", z), summary("ridge", c)]
    values, _ = compare("ridge", kept, kept)
    assert values[0, 1] > 0.5 > values[1, 0] + 0.2


REGRESSIONS = {"normalized_ridge": True, "perturbation_response": False}


@pytest.mark.parametrize("kind", REGRESSIONS)
@pytest.mark.parametrize("grids", [((4, 4), (4, 4)), ((4, 6), (2, 3)), ((2, 3), (4, 6))])
@pytest.mark.parametrize("penalty", [0.01, 1.0])
def test_regressions_over_locations(kind, grids, penalty):
    rng = np.random.default_rng(7)
    draws = 1 if kind == "normalized_ridge" else 2
    u = unit(rng.normal(size=(10, draws, 5, *grids[1])) + 0.5)
    z = rng.normal(size=(10, draws, 3, *grids[0])) + 1
    z[:, :, :2] += u[:, :, :2].mean((3, 4), keepdims=True)
    height, width = np.minimum(*grids)
    zs, us = (locations(pooled(x, height, width)) for x in (z, u))
    options = {"penalty": penalty}
    target, source = summary(kind, z, unit(z), **options), summary(kind, u, u, **options)
    groups = np.arange(10)
    blocks = np.arange(10) // 2
    values, without = compare(kind, [target], [source], groups, blocks, **options)
    expected = halves_r2(zs, us, groups % 2, penalty, REGRESSIONS[kind])
    assert values[0, 0] == pytest.approx(expected, abs=1e-10)
    for block in range(5):
        k = blocks != block
        expected = halves_r2(zs[k], us[k], groups[k] % 2, penalty, REGRESSIONS[kind])
        assert without[block, 0, 0] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("kind", REGRESSIONS)
@pytest.mark.parametrize("grid", [(4, 6), (2, 3)])
def test_a_window_is_what_lies_around(kind, grid):
    """Shifted copies of the source as more channels; a target that is shifted is found again."""
    rng = np.random.default_rng(11)
    u = unit(rng.normal(size=(20, 1, 2, 4, 6)))
    small = pooled(u, *grid)
    height, width = grid
    wide = np.pad(small, [(0, 0)] * 3 + [(1, 1)] * 2)
    shifted = [wide[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
    z = shifted[1][:, :, :1] + 0.1 * rng.normal(size=(20, 1, 1, *grid))
    target, source = summary(kind, z, z, window=3), summary(kind, u, u, window=3)
    values, _ = compare(kind, [target], [source], window=3)
    zs, us = locations(z), locations(np.concatenate(shifted, axis=2))
    expected = halves_r2(zs, us, np.arange(20) % 2, 0.01, REGRESSIONS[kind])
    assert values[0, 0] == pytest.approx(expected, abs=1e-10)
    alone, _ = compare(kind, [summary(kind, z, z)], [summary(kind, u, u)])
    assert values[0, 0] > 0.5 > alone[0, 0]


@pytest.mark.parametrize("kind", REGRESSIONS)
def test_regressions_where_one_is_no_map(kind):
    """Samples are images then, and features are flattened, however many there are."""
    rng = np.random.default_rng(8)
    maps = unit(rng.normal(size=(12, 1, 6, 3, 3)))
    rows = unit(rng.normal(size=(12, 1, 4)) + maps[:, :, :4, 0, 0])
    for z, u in ((maps, rows), (rows, maps)):
        values, _ = compare(kind, [summary(kind, z, z)], [summary(kind, u, u)])
        wide = [x.reshape(12, 1, -1) for x in (z, u)]
        expected = halves_r2(*wide, np.arange(12) % 2, 0.01, REGRESSIONS[kind])
        assert values[0, 0] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("kind", REGRESSIONS)
def test_groups_are_not_divided(kind):
    rng = np.random.default_rng(9)
    u, z = unit(rng.normal(size=(12, 1, 4))), rng.normal(size=(12, 1, 3))
    groups = np.array([0, 0, 0, 1, 2, 2, 1, 1, 3, 3, 3, 3])
    values, without = compare(kind, [summary(kind, z, u)], [summary(kind, u, u)], groups, groups)
    expected = halves_r2(z, u, groups % 2, 0.01, REGRESSIONS[kind])
    assert values[0, 0] == pytest.approx(expected, abs=1e-10)
    assert np.isfinite(without).all()
    # Two groups: without one of them nothing can be tested, and nothing is said.
    groups = groups % 2
    _, without = compare(kind, [summary(kind, z, u)], [summary(kind, u, u)], groups, groups)
    assert np.isnan(without).all()


def test_many_targets_are_taken_some_at_a_time(monkeypatch):
    rng = np.random.default_rng(10)
    kept = [summary("normalized_ridge", rng.normal(size=(8, 1, 3, 2, 2))) for _ in range(5)]
    whole = compare("normalized_ridge", kept, kept)
    monkeypatch.setattr("pyattrx.methods.regression._TARGET_BYTES", 1)
    parts = compare("normalized_ridge", kept, kept)
    for a, b in zip(whole, parts, strict=True):
        assert a == pytest.approx(b, abs=1e-12)
    for kind in ("cka", "ridge"):
        kept = [summary(kind, rng.normal(size=(8, 3))) for _ in range(5)]
        whole = compare(kind, kept, kept)
        monkeypatch.setattr("pyattrx.methods.points._VECTOR_BYTES", 2 * 8 * 64)
        parts = compare(kind, kept, kept)
        assert whole[0] == pytest.approx(parts[0], abs=1e-12)
        monkeypatch.undo()


# Invariances: what may be done to a target's output, and to a source's features

TURNED, SCALED, SHIFTED, STRETCHED = "turned", "scaled", "shifted", "stretched"
INVARIANT = {
    "rsa": ({SCALED}, {SCALED}),
    "cka": ({TURNED, SCALED, SHIFTED},) * 2,
    "dds": ({SCALED, SHIFTED, STRETCHED},) * 2,
    "edges": ({TURNED, SCALED, SHIFTED},) * 2,
    "svcca": ({TURNED, SCALED, SHIFTED},) * 2,
    "ridge": ({TURNED, SCALED, SHIFTED},) * 2,
    # Of features that have been brought to unit length.
    "normalized_ridge": ({TURNED, SCALED, SHIFTED},) * 2,
    "perturbation_response": ({TURNED, SCALED},) * 2,
}


def changed(x, how, rng, axis):
    x = np.moveaxis(x, axis, -1)
    width = x.shape[-1]
    if how == TURNED:
        x = x @ np.linalg.qr(rng.normal(size=(width, width)))[0]
    elif how == SCALED:
        x = x * 10.0 ** rng.integers(-30, 30)
    elif how == SHIFTED:
        x = x + rng.normal(size=width)
    else:
        x = x * np.exp(rng.normal(size=width))
    return np.moveaxis(x, -1, axis)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(sorted(INVARIANT)),
    how=st.sampled_from([TURNED, SCALED, SHIFTED, STRETCHED]),
    side=st.sampled_from([0, 1]),
    seed=st.integers(0, 1000),
)
def test_invariances_are_those_that_are_declared(kind, how, side, seed):
    """What is declared to change nothing changes nothing; what is not changes something."""
    rng = np.random.default_rng(seed)
    draws = (1,) if kind in REGRESSIONS else ()
    z = rng.normal(size=(16, *draws, 4)) + 1
    c = z + 0.5 * rng.normal(size=z.shape)
    if kind in REGRESSIONS:
        c = unit(c)
    moved = [z, c]
    moved[side] = changed(moved[side], how, rng, axis=-1)
    before = score(kind, summary(kind, z, z), summary(kind, c, c))
    after = score(kind, *(summary(kind, x, x) for x in moved))
    if how in INVARIANT[kind][side]:
        assert after == pytest.approx(before, abs=1e-9)
    elif kind != "svcca":  # nearly all components count there, whatever is done to them
        assert abs(after - before) > 1e-9


@pytest.mark.parametrize("kind", FORWARD)
def test_symmetric_kinds_are_those_that_are_declared(kind):
    rng = np.random.default_rng(11)
    draws = (1,) if kind in REGRESSIONS else ()
    kept = [summary(kind, rng.normal(size=(15, *draws, width))) for width in (2, 5, 9)]
    values, _ = compare(kind, kept, kept)
    assert FEATURE_METHODS[kind]().symmetric == (kind in SYMMETRIC)
    assert (np.abs(values - values.T).max() < 1e-12) == (kind in SYMMETRIC)
    low, high = FEATURE_METHODS[kind]().bounds
    assert low - 1e-12 <= values.min()
    assert values.max() <= high + 1e-12


# Features that say nothing


@pytest.mark.parametrize("kind", FORWARD)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_network(kind, dtype):
    """0 with everything, as a target; counted; as a source nothing better than the mean."""
    rng = np.random.default_rng(12)
    draws = (1,) if kind in REGRESSIONS else ()
    z = rng.normal(size=(12, *draws, 5)).astype(dtype)
    if kind == "perturbation_response":
        still = np.zeros_like(z)
    elif kind == "rsa":
        still = np.repeat(rng.normal(size=(12, 1)), 5, axis=1).astype(dtype)
    else:  # the same up to rounding
        still = np.broadcast_to(rng.normal(size=5), z.shape).astype(dtype)
        still = still * (1 + np.finfo(dtype).eps * rng.integers(-1, 2, still.shape)).astype(dtype)
    features = still if kind != "perturbation_response" else None
    kept = [summary(kind, z, unit(z) if draws else None)]
    kept.append(summary(kind, still, np.zeros_like(z) if draws and features is None else features))
    assert kept[0].zero_probes == 0
    assert kept[1].zero_probes == 12
    values, without = compare(kind, kept, kept)
    assert np.isfinite(values).all()
    assert np.isfinite(without).all()
    assert values[1, 0] == values[1, 1] == 0
    if kind in SYMMETRIC:
        assert values[0, 1] == 0
        assert values[0, 0] == pytest.approx(1)
    else:
        assert -1.5 < values[0, 1] <= 0


@pytest.mark.parametrize("kind", ["cka", "dds", "edges", "svcca", "ridge", "normalized_ridge"])
def test_a_constant_feature_changes_nothing_and_is_counted(kind):
    rng = np.random.default_rng(13)
    draws = (1,) if kind in REGRESSIONS else ()
    z = rng.normal(size=(12, *draws, 5)).astype(np.float32)
    more = np.concatenate([z, np.full_like(z[..., :2], 1e3)], axis=-1)
    plain, padded = (summary(kind, x, z) for x in (z, more))
    assert padded.facts["constant output"] == 2
    assert "constant output" not in plain.facts
    assert padded.zero_probes == 0
    other = summary(kind, rng.normal(size=z.shape), z)
    expected = score(kind, plain, other)
    assert score(kind, padded, other) == pytest.approx(expected, abs=1e-9)


def test_one_probe_without_variation_in_rsa():
    rng = np.random.default_rng(14)
    z, c = rng.normal(size=(2, 8, 6))
    z[3] = 2.5
    kept = summary("rsa", z)
    assert kept.zero_probes == 1
    correlations = np.corrcoef(np.delete(z, 3, 0))
    got = kept.arrays["correlations"]
    assert np.delete(np.delete(got, 3, 0), 3, 1) == pytest.approx(correlations)
    assert not got[3].any()
    assert np.isfinite(score("rsa", kept, summary("rsa", c)))


def test_a_large_mean_does_not_hide_small_changes():
    rng = np.random.default_rng(15)
    z = rng.normal(size=(20, 6))
    for kind in ("cka", "dds", "edges", "svcca", "ridge"):
        kept, moved = summary(kind, z), summary(kind, z + 1e6)
        other = summary(kind, z + rng.normal(size=z.shape))
        assert score(kind, moved, other) == pytest.approx(score(kind, kept, other), abs=1e-6)


@pytest.mark.parametrize("size", [1e3, 1e6, 1e7, 1e9])
def test_one_feature_far_larger_than_all_others_hides_nothing(size):
    rng = np.random.default_rng(18)
    c = rng.normal(size=(30, 1, 8))
    z = c @ rng.normal(size=(8, 3)) + 0.1 * rng.normal(size=(30, 1, 3))
    u = unit(np.concatenate([c, np.full((30, 1, 1), size)], axis=2))
    target, source = summary("normalized_ridge", z), summary("normalized_ridge", z, u)
    got = score("normalized_ridge", target, source, penalty=0.1)
    mean = u.mean((0, 1))  # exact arithmetic would need none
    expected = halves_r2(z, u - mean, np.arange(30) % 2, 0.1, intercept=True)
    assert expected > 0.8
    assert got == pytest.approx(expected, abs=1e-6)


def test_features_in_pieces(monkeypatch):
    """Wide features are taken to float64 some columns at a time."""
    rng = np.random.default_rng(16)
    z = rng.normal(size=(7, 50)).astype(np.float32)
    whole = {kind: summary(kind, z) for kind in ("rsa", "cka", "dds")}
    monkeypatch.setattr("pyattrx.methods.feature_method._CHUNK_ELEMENTS", 7 * 8)
    for kind, kept in whole.items():
        for name, array in summary(kind, z).arrays.items():
            assert array == pytest.approx(kept.arrays[name], abs=1e-12)


@pytest.mark.parametrize("kind", REGRESSIONS)
@pytest.mark.parametrize("penalty", [0.1, 1e-15])
@pytest.mark.parametrize("probes", [2, 3, 5])
def test_regressions_on_hardly_any_samples(kind, penalty, probes):
    """A half of one sample, or of copies of one: nothing varies, and nothing is predicted."""
    rng = np.random.default_rng(probes)
    features = unit(rng.normal(size=(probes, 1, 7)))
    latent = rng.normal(size=(probes, 1, 3))
    for u in (features, np.repeat(features[:1], probes, axis=0), np.zeros_like(features)):
        one = summary(kind, latent, u, penalty=penalty)
        values, without = compare(kind, [one], [one], penalty=penalty)
        assert np.isfinite(values).all()
        assert (values <= 1).all()
        assert np.isfinite(without).all() or probes < 5
