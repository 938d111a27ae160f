"""Shares of channels in an R^2, against fits without them."""

import numpy as np
import pytest
import torch

from pyattrx.methods import (
    NormalizedRidge,
    PerturbationResponse,
    Ridge,
    channel_shares,
    channels_of,
)
from pyattrx.statistics import jackknife_blocks

N = 24
GROUPS = np.repeat(np.arange(12), 2)
SINGLE = np.arange(N)


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def samples(values, same):
    """[N, draws, C, H, W] as [N, L, C] where both are maps, else [N, draws, D]."""
    if same and values.ndim == 5:
        return np.moveaxis(values, 2, -1).reshape(len(values), -1, values.shape[2])
    return values.reshape(*values.shape[:2], -1)


def halves_r2(u, z, groups, penalty, without, intercept=True):
    """R^2 by target column, a half to the other and back, columns set to zero after centering."""
    halves = groups % 2
    if intercept:
        u, z = u - u.mean((0, 1)), z - z.mean((0, 1))
    found = []
    for half in (0, 1):
        a, b, c, d = (
            x[halves == h].reshape(-1, x.shape[2]).copy() for h in (half, 1 - half) for x in (u, z)
        )
        mean_a, mean_b, mean_d = (x.mean(0) * intercept for x in (a, b, d))
        a, c = a - mean_a, c - mean_a
        strength = penalty * np.square(a).sum() / min(a.shape)
        a[:, without] = c[:, without] = 0
        weights = np.linalg.solve(a.T @ a + strength * np.eye(a.shape[1]), a.T @ (b - mean_b))
        total = np.square(d - mean_d).sum(0)
        found.append((total - np.square(d - mean_b - c @ weights).sum(0)) / total.sum())
    return np.mean(found, axis=0)


CASES = {
    "maps": ((3, 2, 2), (5, 2, 2)),
    "vectors": ((3,), (5,)),
    "more channels than samples": ((3,), (40,)),
    "vectors from maps": ((3,), (4, 2, 2)),
    "vectors from large maps": ((3,), (4, 4, 4)),
    "more outputs than samples": ((60,), (5,)),
}


@pytest.mark.parametrize("of_source", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_shares_of_a_regression(case, of_source):
    shape_z, shape_u = CASES[case]
    target, source = numbers(N, 1, *shape_z), numbers(N, 1, *shape_u, seed=1)
    target = target + 2 * source.flatten(1)[:, :1].reshape(N, 1, *[1] * len(shape_z)) + 3
    method = NormalizedRidge(penalty=0.3)
    shape = shape_u if of_source else shape_z
    channels = channels_of(shape, 1)
    blocks = jackknife_blocks(GROUPS)
    found = channel_shares(
        method, {"output": target.clone(), "features": target.clone()},
        {"output": source.clone(), "features": source.clone()}, channels, GROUPS, blocks,
        of_source=of_source,
    )  # fmt: skip
    same = len(shape_z) == len(shape_u) == 3
    u, z = samples(source.numpy(), same), samples(target.numpy(), same)
    columns = np.arange(shape[0]) if same else channels
    whole = halves_r2(u, z, GROUPS, 0.3, [])
    assert found.score == pytest.approx(whole.sum(), abs=1e-10)
    if of_source:
        expected = [
            whole.sum() - halves_r2(u, z, GROUPS, 0.3, np.flatnonzero(columns == c)).sum()
            for c in range(shape[0])
        ]
    else:
        expected = np.bincount(columns, whole)
        assert found.shares.sum() == pytest.approx(found.score, abs=1e-12)
    assert found.shares == pytest.approx(np.array(expected), abs=1e-9)
    values, without = method.compare(
        [method.summarize({"output": target, "features": target})],
        [method.summarize({"output": source, "features": source})], GROUPS, blocks,
    )  # fmt: skip
    assert found.score == pytest.approx(values[0, 0], abs=1e-10)
    assert found.score_without == pytest.approx(without[:, 0, 0], abs=1e-10)
    keep = blocks != 3
    u, z, some = u[keep], z[keep], GROUPS[keep]
    whole = halves_r2(u, z, some, 0.3, [])
    if of_source:
        expected = [
            whole.sum() - halves_r2(u, z, some, 0.3, np.flatnonzero(columns == c)).sum()
            for c in range(shape[0])
        ]
    else:
        expected = np.bincount(columns, whole)
    assert found.shares_without[3] == pytest.approx(np.array(expected), abs=1e-9)


def test_without_an_intercept():
    target, source = numbers(N, 2, 3, 2, 2), numbers(N, 2, 5, 2, 2, seed=1)
    target = target + source[:, :, :3] + 1
    method = PerturbationResponse(penalty=0.3)
    found = channel_shares(
        method, {"output": target, "features": target}, {"output": source, "features": source},
        channels_of((5, 2, 2), 1), SINGLE, jackknife_blocks(SINGLE), of_source=True,
    )  # fmt: skip
    u, z = samples(source.numpy(), True), samples(target.numpy(), True)
    whole = halves_r2(u, z, SINGLE, 0.3, [], intercept=False).sum()
    costs = [whole - halves_r2(u, z, SINGLE, 0.3, [c], intercept=False).sum() for c in range(5)]
    assert found.shares == pytest.approx(np.array(costs), abs=1e-9)


def left_out_r2(u, z, groups, strength, without):
    """R^2 by target column: every group predicted by a fit to the others, their means and all."""
    u = u - u.mean(0)
    u[:, without] = 0
    errors = np.empty_like(z)
    for group in np.unique(groups):
        fit, test = groups != group, groups == group
        mean_u, mean_z = u[fit].mean(0), z[fit].mean(0)
        a = u[fit] - mean_u
        # The intercept is free, the penalty that of all probes.
        weights = np.linalg.solve(a.T @ a + strength * np.eye(a.shape[1]), a.T @ (z[fit] - mean_z))
        errors[test] = z[test] - mean_z - (u[test] - mean_u) @ weights
    total = np.square(z - z.mean(0)).sum(0)
    return (total - np.square(errors).sum(0)) / total.sum()


@pytest.mark.parametrize("groups", [SINGLE, GROUPS], ids=["single", "pairs"])
@pytest.mark.parametrize("of_source", [False, True])
@pytest.mark.parametrize("shape_u", [(5,), (4, 3, 3), (40,)])
def test_shares_of_leaving_out(shape_u, of_source, groups):
    target, source = numbers(N, 3, 2), numbers(N, *shape_u, seed=1)
    target = target + source.flatten(1)[:, :1, None]
    channels = channels_of(shape_u if of_source else (3, 2), 1)
    found = channel_shares(
        Ridge(penalty=0.3), {"output": target}, {"output": source}, channels, groups,
        jackknife_blocks(groups), of_source=of_source,
    )  # fmt: skip
    u, z = source.flatten(1).numpy(), target.flatten(1).numpy()
    strength = 0.3 * np.square(u - u.mean(0)).sum() / N
    whole = left_out_r2(u, z, groups, strength, [])
    assert found.score == pytest.approx(whole.sum(), abs=1e-9)
    if of_source:
        expected = [
            whole.sum() - left_out_r2(u, z, groups, strength, np.flatnonzero(channels == c)).sum()
            for c in range(shape_u[0])
        ]
    else:
        expected = np.bincount(channels, whole)
    assert found.shares == pytest.approx(np.array(expected), abs=1e-9)


def test_what_never_changes_has_no_share():
    target, source = numbers(N, 3), numbers(N, 4, seed=1)
    target[:, 1], source[:, 2] = 7.0, -3.0
    for of_source, still in ((False, 1), (True, 2)):
        for method, draws in ((Ridge(), False), (NormalizedRidge(), True)):
            t, s = (x[:, None].clone() if draws else x for x in (target, source))
            found = channel_shares(
                method, {"output": t, "features": t}, {"output": s, "features": s},
                channels_of(tuple((source if of_source else target).shape[1:]), 1), SINGLE,
                jackknife_blocks(SINGLE), of_source=of_source,
            )  # fmt: skip
            assert found.shares[still] == pytest.approx(0, abs=1e-12)
            assert np.isfinite(found.shares_without).all()


def test_a_constant_target_and_a_constant_source():
    still, moving = torch.ones(N, 1, 3), numbers(N, 1, 4)
    for target, source in ((still, moving), (moving, still)):
        for of_source in (False, True):
            own = source if of_source else target
            found = channel_shares(
                NormalizedRidge(), {"output": target.clone(), "features": target.clone()},
                {"output": source.clone(), "features": source.clone()},
                channels_of(tuple(own.shape[2:]), 1), SINGLE, jackknife_blocks(SINGLE),
                of_source=of_source,
            )  # fmt: skip
            if target is still or of_source:
                assert not found.shares.any()
            assert np.isfinite(found.shares).all()
