"""Multinomial logistic regression by L-BFGS, preconditioned with a bound of all its Hessians.

The Hessian of the mean log loss is at most ``X'X / 2n`` for every class (Boehning 1992), so steps
that divide by it (plus the penalty) always descend, and few are needed. The bound of all images
holds for those of every fold, too, so that one matrix is factorised for a penalty. Folds are fitted
side by side, for the products' sake; each has steps of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from pyattrx.scores._features import Features

__all__ = ["Design", "fit"]

_MEMORY = 5
_MOST_STEPS = 200

Solver = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Design:
    """Features for a regression.

    Attributes
    ----------
    x : ndarray [N, R], float32 or float64
        Centred, of root mean squared length 1.
    gram : ndarray [R, R]
        Of all images.
    """

    x: np.ndarray
    gram: np.ndarray

    @classmethod
    def of(cls, features: Features) -> Design:
        """Take features, in no more dimensions than there are images."""
        power = features.squares / len(features)
        scale = 1 / np.sqrt(power) if power > 0 else 0.0
        rows: Callable[[slice], np.ndarray] = features.rows
        width = features.width
        if features.width > len(features):
            spectrum = features.spectrum()
            rows, width = spectrum.rows, len(spectrum.squares)
        x = np.empty((len(features), width), features.working)
        for some in features.slices():
            x[some] = rows(some) * scale
        return cls(x, x.T @ x)

    def solver(self, penalty: float) -> Solver:
        """Return what divides gradients [R + 1, ...], the intercepts' last, by the bound."""
        n = len(self.x)
        matrix = self.gram / (2 * n)
        # More only makes steps shorter; rounding must not make the matrix indefinite.
        rounding = 32 * float(np.finfo(matrix.dtype).eps) * float(np.trace(matrix))
        matrix[np.diag_indices(len(matrix))] += max(penalty, rounding)
        # The inverse itself: a product with few columns is much faster than triangular solves. In
        # Fortran's order, in which nothing is copied.
        factor = scipy.linalg.cholesky(matrix.T, overwrite_a=True, check_finite=False)
        invert = scipy.linalg.get_lapack_funcs("potri", (factor,))
        multiply = scipy.linalg.get_blas_funcs("symm", (factor,))
        inverse, _ = invert(factor, lower=False, overwrite_c=True)

        def solve(gradient: np.ndarray) -> np.ndarray:
            flat = gradient.reshape(len(gradient), -1)
            step = np.empty_like(flat)
            step[:-1] = multiply(1.0, inverse, flat[:-1], lower=False)
            step[-1] = 2 * flat[-1]
            return step.reshape(gradient.shape)

        return solve


def fit(
    design: Design,
    one_hot: np.ndarray,
    training: np.ndarray,
    penalty: float,
    solve: Solver,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit some images, F choices of them side by side.

    Parameters
    ----------
    design : Design
    one_hot : ndarray [N, K]
    training : ndarray [N, F], bool
    penalty : float
        p in ``mean of -log p(y) + p |W|^2 / 2``; intercepts are free.
    solve : callable
        Of `Design.solver`.
    start : ndarray [R + 1, F, K], optional
        Where to begin.

    Returns
    -------
    weights : ndarray [R + 1, F, K]
    probabilities : ndarray [N, F, K]
        Of all images.
    """
    x = design.x
    shape = (x.shape[1] + 1, training.shape[1], one_hot.shape[1])
    kept = training.astype(x.dtype)
    kept /= kept.sum(0)

    def evaluate(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        logits = (x @ weights[:-1].reshape(shape[0] - 1, -1)).reshape(-1, *shape[1:])
        logits += weights[-1]
        logits -= logits.max(2, keepdims=True)
        own = np.einsum("nfk,nk->nf", logits, one_hot)
        probabilities = np.exp(logits, out=logits)
        sums = probabilities.sum(2, keepdims=True)
        probabilities /= sums
        loss = ((np.log(sums[:, :, 0]) - own) * kept).sum(0, dtype=np.float64)
        loss += penalty / 2 * _dot(weights[:-1], weights[:-1])
        wrong = (probabilities - one_hot[:, None]) * kept[:, :, None]
        gradient = np.empty_like(weights)
        products = x.T @ wrong.reshape(len(x), -1)
        gradient[:-1] = products.reshape(weights[:-1].shape) + penalty * weights[:-1]
        gradient[-1] = wrong.sum(0)
        return loss, gradient, probabilities

    eps = float(np.finfo(x.dtype).eps)
    tolerance = 1e-12 if eps < 1e-8 else 1e-6
    weights = start if start is not None else np.zeros(shape, x.dtype)
    loss, gradient, probabilities = evaluate(weights)
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    running = np.ones(shape[1], bool)
    for _ in range(_MOST_STEPS):
        step = -_direction(gradient, pairs, solve)
        slope = _dot(gradient, step)
        # Half of it is about what is left to gain.
        running &= -slope > tolerance * np.maximum(loss, 1e-1)
        if not running.any():
            break
        size = running.astype(np.float64)
        for _ in range(12):
            moved = weights + (size[:, None] * step).astype(x.dtype)
            lower, slopes, fresh = evaluate(moved)
            worse = lower > loss + 1e-4 * size * slope + eps * np.abs(loss)
            if not worse.any():
                break
            size[worse] /= 2
        else:  # rounding is all that is left
            running &= ~worse
            size[worse] = 0
            moved = weights + (size[:, None] * step).astype(x.dtype)
            lower, slopes, fresh = evaluate(moved)
        pairs = [*pairs[1 - _MEMORY :], (moved - weights, slopes - gradient)]
        weights, loss, gradient, probabilities = moved, lower, slopes, fresh
    return weights, probabilities


def _direction(
    gradient: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]], solve: Solver
) -> np.ndarray:
    """Gradient times the approximate inverse Hessian: the two loops of L-BFGS, fold by fold."""
    q = gradient.astype(gradient.dtype, copy=True)
    shares = []
    for moved, change in reversed(pairs):
        share = _over(_dot(moved, q), _dot(moved, change))
        q -= share.astype(q.dtype)[:, None] * change
        shares.append(share)
    r = solve(q)
    if pairs:
        # Where probabilities are near 0 or 1 the Hessian is far below its bound.
        moved, change = pairs[-1]
        scale = _over(_dot(moved, change), _dot(change, solve(change)))
        r *= np.where(scale > 0, scale, 1.0).astype(r.dtype)[:, None]
    for (moved, change), share in zip(pairs, reversed(shares), strict=True):
        left = share - _over(_dot(change, r), _dot(moved, change))
        r += left.astype(r.dtype)[:, None] * moved
    return r


def _over(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Quotients of folds; zero where a fold did not move."""
    return np.where(b > 0, a / np.where(b > 0, b, 1.0), 0.0)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner products of each fold, [F]."""
    return np.asarray(np.einsum("rfk,rfk->f", a, b, dtype=np.float64))
