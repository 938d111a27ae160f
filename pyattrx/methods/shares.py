"""What single channels have to do with how well a regression predicts one network from another.

Of the target: R^2 is a sum over its channels, of what is predicted of each. Of the source: what
the R^2 falls by without one of its channels, the penalty held. That takes no other fit: with P the
inverse of the penalized Gram matrix and W the weights, those without the columns of a channel g
are ``W - P[:, g] P[g, g]^-1 W[g]``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from scipy.linalg import cho_factor, cho_solve
from torch import Tensor

from pyattrx.methods.feature_method import is_constant
from pyattrx.methods.moments import (
    Fitted,
    Moments,
    cross_fitted,
    fitted,
    nothing_varies,
    squared_errors,
)
from pyattrx.methods.points import recentered
from pyattrx.methods.regression import Regression, common_grid, halves_of, samples_of
from pyattrx.methods.ridge import Ridge, left_out

__all__ = ["ChannelShares", "channel_shares", "channels_of"]

_ELEMENTS = 1 << 22  # of the blocks of channels that are taken at once


@dataclass(frozen=True)
class ChannelShares:
    """What channels have to do with an R^2.

    Attributes
    ----------
    score : float
        R^2, as the method says.
    score_without : ndarray [K]
        Without each block of probes; NaN where that is not enough.
    shares : ndarray [C]
        Of a target what is predicted of each channel, which sums to the score; of a source what the
        score falls by without each.
    shares_without : ndarray [K, C]
    """

    score: float
    score_without: np.ndarray
    shares: np.ndarray
    shares_without: np.ndarray


def channels_of(shape: tuple[int, ...], axis: int) -> np.ndarray:
    """Channel of every number of an image, flattened.

    Parameters
    ----------
    shape : tuple of int
        Of what a network answers to one image.
    axis : int
        Of the channels in a batch, from 1; ignored where the image has one number.

    Returns
    -------
    ndarray [D], int64

    Examples
    --------
    >>> from pyattrx.methods.shares import channels_of
    >>> channels_of((2, 3), axis=2).tolist()
    [0, 1, 2, 0, 1, 2]
    """
    if not shape:
        return np.zeros(1, np.int64)
    wide = [1] * len(shape)
    wide[axis - 1] = shape[axis - 1]
    numbers = np.arange(shape[axis - 1]).reshape(wide)
    return np.broadcast_to(numbers, shape).ravel().astype(np.int64)


def channel_shares(
    method: Regression | Ridge,
    target: dict[str, Tensor],
    source: dict[str, Tensor],
    channels: np.ndarray,
    groups: np.ndarray,
    blocks: np.ndarray,
    *,
    of_source: bool,
) -> ChannelShares:
    """Divide an R^2 among the channels of one of the networks.

    Parameters
    ----------
    method : Regression or Ridge
        Of a window of one location.
    target, source : dict of str to Tensor [N, ...]
        What the method observed of them.
    channels : ndarray [D], int64
        Channel of every number of an image of the network that is asked about; see `channels_of`.
    groups, blocks : ndarray [N], int64
        As for `FeatureMethod.compare`.
    of_source : bool
        Whether that is the source.
    """
    if isinstance(method, Ridge):
        return _of_ridge(method, target, source, channels, groups, blocks, of_source)
    return _of_regression(method, target, source, channels, groups, blocks, of_source)


def _of_regression(
    method: Regression,
    target: dict[str, Tensor],
    source: dict[str, Tensor],
    channels: np.ndarray,
    groups: np.ndarray,
    blocks: np.ndarray,
    of_source: bool,
) -> ChannelShares:
    output = method.summarize(target).arrays["output"]
    features = method.summarize(source).arrays["features"]
    grid = common_grid(features, output)
    u, z = samples_of(features, grid), samples_of(output, grid)
    own = u if of_source else z
    if grid is not None:  # a column for each channel
        channels = np.arange(own.shape[2])
    elif own.shape[2] != len(channels):
        channels = np.repeat(channels, own.shape[2] // len(channels))
    if method.intercept:
        u -= u.mean((0, 1))
        z -= z.mean((0, 1))
    width = u.shape[2]
    turn = None
    if u.shape[2] > u.shape[0] * u.shape[1]:
        u, turn = _turned(u)
    if of_source and z.shape[2] > z.shape[0] * z.shape[1]:
        z = _turned(z)[0]  # only what all of them are together counts

    def moments(chosen: np.ndarray) -> Moments:
        sums = Moments(u.shape[2], z.shape[2])
        sums.add(*(x[chosen].reshape(-1, x.shape[2]) for x in (u, z)))
        return sums

    count = int(channels.max()) + 1

    def score(fit: Moments, test: Moments) -> np.ndarray:
        of = fitted(fit, width, method.penalty, method.intercept)
        error, total = squared_errors(of, test, method.intercept)
        whole = total.sum(keepdims=True)
        if nothing_varies(whole, fit, test, np.zeros(1, np.int64))[0]:
            return np.zeros(count + 1)
        if of_source:
            shares = _costs(of, test, channels, turn)
        else:
            shares = np.bincount(channels, total - error, count)
        return np.asarray(np.concatenate([whole - error.sum(), shares]) / whole)

    values, without = cross_fitted(moments, halves_of(groups), blocks, score)
    return ChannelShares(float(values[0]), without[:, 0], values[1:], without[:, 1:])


def _turned(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples [N, L, D] in as many dimensions as there are samples, and these, [D, N * L]."""
    rows = samples.reshape(-1, samples.shape[2])
    turn, triangle = scipy.linalg.qr(rows.T, mode="economic", check_finite=False)
    return np.ascontiguousarray(triangle.T).reshape(*samples.shape[:2], -1), turn


def _costs(of: Fitted, test: Moments, channels: np.ndarray, turn: np.ndarray | None) -> np.ndarray:
    """What squared errors grow by without each channel."""
    count = int(channels.max()) + 1
    if of.penalty == 0:
        return np.zeros(count)
    gram = np.tril(test.gram) + np.tril(test.gram, -1).T
    gram -= np.outer(of.mean_u, test.u) + np.outer(test.u, of.mean_u)
    gram += test.count * np.outer(of.mean_u, of.mean_u)
    cross = test.cross - np.outer(of.mean_u, test.z) - np.outer(test.u, of.mean_z)
    cross += test.count * np.outer(of.mean_u, of.mean_z)
    inverse = of.inverse()
    slopes = inverse @ (gram @ of.weights - cross)
    curved = inverse @ gram @ inverse
    costs = np.zeros(count)
    for first, columns in _by_channel(channels, len(gram)):
        if turn is None:
            weights, slope = of.weights[columns], slopes[columns]
            pairs = columns[:, :, None], columns[:, None, :]
            own, bend = inverse[pairs], curved[pairs]
        else:
            q = turn[columns]  # [channels, columns of each, r]
            qt = q.transpose(0, 2, 1)
            weights, slope = q @ of.weights, q @ slopes
            # Of directions that no sample has, nothing is left but the penalty.
            rest = (np.eye(columns.shape[1]) - q @ qt) / of.penalty
            own, bend = q @ inverse @ qt + rest, q @ curved @ qt
        change = np.linalg.solve(own, weights)
        cost = (change * (bend @ change - 2 * slope)).sum((1, 2))
        costs[first : first + len(cost)] = cost
    return costs


def _by_channel(channels: np.ndarray, width: int) -> Iterator[tuple[int, np.ndarray]]:
    """Columns of channels, [some, columns of each], a bounded number at once."""
    order = np.argsort(channels, kind="stable")
    columns = order.reshape(int(channels.max()) + 1, -1)
    step = max(1, _ELEMENTS // (columns.shape[1] * (columns.shape[1] + width)))
    for first in range(0, len(columns), step):
        yield first, columns[first : first + step]


def _of_ridge(
    method: Ridge,
    target: dict[str, Tensor],
    source: dict[str, Tensor],
    channels: np.ndarray,
    groups: np.ndarray,
    blocks: np.ndarray,
    of_source: bool,
) -> ChannelShares:
    z = _moving(target["output"])
    u = _moving(source.get("features", source["output"]))
    everything = np.arange(len(groups))
    values = _left_out_shares(method, u, z, channels, everything, groups, of_source)
    without = np.full((int(blocks.max()) + 1, len(values)), np.nan)
    for block in range(len(without)):
        keep = everything[blocks != block]
        if method.enough(groups[keep]):
            without[block] = _left_out_shares(method, u, z, channels, keep, groups, of_source)
    return ChannelShares(float(values[0]), without[:, 0], values[1:], without[:, 1:])


def _moving(features: Tensor) -> np.ndarray:
    """Features [N, D] in float64, as a whole near one; those that never change are zero."""
    flat = features.reshape(len(features), -1)
    x: np.ndarray = np.ldexp(flat.double().numpy(), -int(np.frexp(float(flat.abs().max()))[1]))
    x[:, is_constant(x, flat.dtype)] = 0
    x -= x.mean(0)
    return x


def _left_out_shares(
    method: Ridge,
    u: np.ndarray,
    z: np.ndarray,
    channels: np.ndarray,
    keep: np.ndarray,
    groups: np.ndarray,
    of_source: bool,
) -> np.ndarray:
    """The score, and the share of each channel, over some probes."""
    count, n = int(channels.max()) + 1, len(keep)
    known = recentered(u @ u.T, keep)
    members = np.unique(groups[keep], return_inverse=True)[1]
    u, z = u[keep] - u[keep].mean(0), z[keep] - z[keep].mean(0)
    whole = float(np.square(z).sum())
    if whole == 0:
        return np.zeros(count + 1)
    penalty = method.penalty * np.trace(known) / n
    inverse, residual = np.zeros((n, n)), np.eye(n) - 1 / n
    if penalty > 0:
        known[np.diag_indices(n)] += penalty
        inverse = cho_solve(cho_factor(known, lower=True), np.eye(n))
        residual = penalty * inverse - 1 / n
    if not of_source:
        errors = np.square(left_out(residual, members) @ z).sum(0)
        shares = np.bincount(channels, np.square(z).sum(0) - errors, count)
        return np.asarray(np.concatenate([[whole - errors.sum()], shares]) / whole)
    if z.shape[1] > n:
        z = _turned(z[:, None])[0][:, 0]
    fit = _LeftOut(residual, inverse, penalty, z, members)
    now = fit.error(np.zeros((n, 0)))
    costs = np.zeros(count)
    for first, columns in _by_channel(channels, n) if penalty > 0 else ():
        costs[first : first + len(columns)] = [fit.error(u[:, own]) - now for own in columns]
    return np.asarray(np.concatenate([[whole - now], costs]) / whole)


class _LeftOut:
    """Errors of probes that were left out, with some columns of the features taken away.

    Parameters
    ----------
    residual, inverse : ndarray [N, N]
        What makes residuals of the fit to all; the inverse of the penalized Gram matrix.
    penalty : float
    z : ndarray [N, Z]
    members : ndarray [N]
        Group of each probe, from 0.
    """

    def __init__(
        self,
        residual: np.ndarray,
        inverse: np.ndarray,
        penalty: float,
        z: np.ndarray,
        members: np.ndarray,
    ) -> None:
        self._residual, self._inverse, self._penalty = residual, inverse, penalty
        self._left, self._solved = residual @ z, inverse @ z
        sizes = np.bincount(members)
        self._single = sizes[members] == 1
        self._several = [np.flatnonzero(members == g) for g in np.flatnonzero(sizes > 1)]

    def error(self, columns: np.ndarray) -> float:
        """Squared error without columns [N, s]: the inverse changes by a matrix of that rank."""
        moved = self._inverse @ columns
        inner = np.eye(columns.shape[1]) - columns.T @ moved
        change = self._penalty * np.linalg.solve(inner, moved.T)  # of residuals: moved @ change
        left = self._left + self._penalty * moved @ np.linalg.solve(inner, columns.T @ self._solved)
        own = np.diag(self._residual) + (moved * change.T).sum(1)
        out = left / np.where(self._single, own, 1.0)[:, None]
        for some in self._several:
            block = self._residual[np.ix_(some, some)] + moved[some] @ change[:, some]
            out[some] = np.linalg.solve(block, left[some])
        return float(np.square(out).sum())
