"""Multinomial logistic regression by L-BFGS, preconditioned with a bound of all its Hessians.

The Hessian of the mean log loss is at most ``X'X / 2n`` for every class (Boehning 1992), so steps
that divide by it (plus the penalty) always descend, and few are needed. The bound of all images
holds for those of every fold, too, so that one matrix is factorised for a penalty. Folds are fitted
side by side, for the products' sake; each has steps of its own.

Products with the features take most of the time. A step needs two: for the gradient, and for the
logits of its direction. Logits are linear in the weights, so how far to go costs no more of them.
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
# Steps that scale the weights to begin with: with a smaller penalty they are larger, above all.
_SCALINGS = 4
# Newton's steps are too long where the loss is nearly straight.
_LONGEST = 8.0
_HALVINGS = 15
# Steps after which logits are computed anew: rounding adds up in what steps change.
_REFRESH = 10

Solver = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Design:
    """Features for a regression.

    Attributes
    ----------
    x : ndarray [N, R], float32 or float64
        Centered, of root mean squared length 1.
    gram : ndarray [R, R] or [R]
        Of all images; its diagonal where the features are principal directions, which have no
        other products.
    """

    x: np.ndarray
    gram: np.ndarray

    @classmethod
    def of(cls, features: Features) -> Design:
        """Take features, in no more dimensions than there are images."""
        rows: Callable[[slice], np.ndarray] = features.rows
        width = features.width
        spectrum = features.spectrum() if features.width > len(features) else None
        if spectrum is not None:
            rows, width = spectrum.rows, len(spectrum.squares)
        x = np.empty((len(features), width), features.working)
        squares = 0.0
        for some in features.slices():
            wide = rows(some)
            squares += float(np.square(wide).sum())
            x[some] = wide
        unit = np.sqrt(len(x) / squares) if squares > 0 else 0.0
        x *= unit
        if spectrum is not None:
            return cls(x, (spectrum.squares * unit**2).astype(x.dtype))
        return cls(x, x.T @ x)

    def solver(self, penalty: float) -> Solver:
        """Return what divides gradients [R + 1, ...], the intercepts' last, by the bound."""
        bound = self.gram / (2 * len(self.x))
        diagonal = bound if bound.ndim == 1 else np.einsum("ii->i", bound)
        # More only makes steps shorter; rounding must not make a matrix indefinite.
        rounding = 32 * float(np.finfo(bound.dtype).eps) * float(diagonal.sum())
        diagonal += max(penalty, rounding)
        divide = _by_matrix(bound) if bound.ndim == 2 else lambda flat: flat / diagonal[:, None]

        def solve(gradient: np.ndarray) -> np.ndarray:
            flat = gradient.reshape(len(gradient), -1)
            step = np.empty_like(flat)
            step[:-1] = divide(flat[:-1])
            step[-1] = 2 * flat[-1]
            return step.reshape(gradient.shape)

        return solve


def _by_matrix(matrix: np.ndarray) -> Solver:
    """Return what divides columns by a matrix, which is overwritten."""
    # The inverse itself: a product with few columns is much faster than triangular solves. In
    # Fortran's order, in which nothing is copied.
    factor = scipy.linalg.cholesky(matrix.T, overwrite_a=True, check_finite=False)
    invert = scipy.linalg.get_lapack_funcs("potri", (factor,))
    multiply = scipy.linalg.get_blas_funcs("symm", (factor,))
    inverse, _ = invert(factor, lower=False, overwrite_c=True)
    return lambda flat: np.asarray(multiply(1.0, inverse, flat, lower=False))


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
    everything = _Problem(design.x, one_hot, training, penalty)
    problem, x = everything, design.x
    if not (used := training.any(1)).all():
        # Images that no fold is trained on take part at the end only.
        x = x[used]
        problem = _Problem(x, one_hot[used], training[used], penalty)
    tolerance = 1e-12 if np.finfo(x.dtype).eps < 1e-8 else 1e-6
    running = np.ones(training.shape[1], bool)
    if start is None:
        start = np.zeros((x.shape[1] + 1, training.shape[1], one_hot.shape[1]), x.dtype)
    warm = bool(start.any())
    logits = problem.products(start) if warm else np.zeros((len(x), *start.shape[1:]), x.dtype)
    state = problem.state(start, logits)
    for _ in range(_SCALINGS if warm else 0):
        before = state.loss
        state = problem.move(state, state.weights, state.logits, running)
        if (before - state.loss <= tolerance * np.maximum(before, 1e-1)).all():
            break
    pairs: list[_Pair] = []
    gradient = problem.gradient(state)
    divided = solve(gradient)
    for done in range(_MOST_STEPS):
        step = -_direction(gradient, divided, pairs)
        slope = _dot(gradient, step)
        # Half of it is about what is left to gain.
        running &= -slope > tolerance * np.maximum(state.loss, 1e-1)
        if not running.any():
            break
        moved = problem.move(state, step, problem.products(step), running)
        if (done + 1) % _REFRESH == 0:
            moved = problem.state(moved.weights, problem.products(moved.weights))
        fresh = problem.gradient(moved)
        quotient = solve(fresh)
        pair = _Pair(moved.weights - state.weights, fresh - gradient, quotient - divided)
        # Where a fold stands still, rounding is all that is left.
        running &= _dot(pair.moved, pair.moved) > 0
        pairs = [*pairs[1 - _MEMORY :], pair]
        state, gradient, divided = moved, fresh, quotient
    state = everything.state(state.weights, everything.products(state.weights))
    return state.weights, state.probabilities


@dataclass(frozen=True)
class _State:
    """Where a fit is.

    Attributes
    ----------
    weights : ndarray [R + 1, F, K]
    logits : ndarray [N, F, K]
    loss : ndarray [F], float64
        With the penalty.
    probabilities : ndarray [N, F, K]
    """

    weights: np.ndarray
    logits: np.ndarray
    loss: np.ndarray
    probabilities: np.ndarray


class _Problem:
    """The loss of F choices of images, and its derivatives."""

    def __init__(
        self, x: np.ndarray, one_hot: np.ndarray, training: np.ndarray, penalty: float
    ) -> None:
        self._x = x
        self._one_hot = one_hot
        self._penalty = penalty
        self._kept = training.astype(x.dtype)
        self._kept /= self._kept.sum(0)

    def products(self, weights: np.ndarray) -> np.ndarray:
        """Logits of weights, [N, F, K]."""
        flat = weights[:-1].reshape(len(weights) - 1, -1)
        logits = (self._x @ flat).reshape(-1, *weights.shape[1:])
        logits += weights[-1]
        return np.asarray(logits)

    def state(self, weights: np.ndarray, logits: np.ndarray) -> _State:
        """Compute the loss and the probabilities."""
        shifted = logits - logits.max(2, keepdims=True)
        own = np.einsum("nfk,nk->nf", shifted, self._one_hot)
        probabilities = np.exp(shifted, out=shifted)
        sums = probabilities.sum(2, keepdims=True)
        probabilities /= sums
        loss = ((np.log(sums[:, :, 0]) - own) * self._kept).sum(0, dtype=np.float64)
        loss += self._penalty / 2 * _dot(weights[:-1], weights[:-1])
        return _State(weights, logits, loss, probabilities)

    def gradient(self, state: _State) -> np.ndarray:
        """By the weights, [R + 1, F, K]."""
        wrong = self._wrong(state)
        gradient = np.empty_like(state.weights)
        products = self._x.T @ wrong.reshape(len(wrong), -1)
        gradient[:-1] = products.reshape(gradient[:-1].shape)
        gradient[:-1] += self._penalty * state.weights[:-1]
        gradient[-1] = wrong.sum(0)
        return gradient

    def move(
        self, state: _State, step: np.ndarray, logits: np.ndarray, running: np.ndarray
    ) -> _State:
        """Go as far along a step as Newton's method says, or half as far until the loss falls.

        Parameters
        ----------
        state : _State
        step : ndarray [R + 1, F, K]
        logits : ndarray [N, F, K]
            `products` of the step.
        running : ndarray [F], bool
            Folds that move.

        Returns
        -------
        _State
        """
        slope = _dot(self._wrong(state), logits)
        slope += self._penalty * _dot(state.weights[:-1], step[:-1])
        weighed = state.probabilities * logits
        squares = np.einsum("nfk,nfk->nf", weighed, logits) - np.square(weighed.sum(2))
        curvature = (squares * self._kept).sum(0, dtype=np.float64)
        curvature += self._penalty * _dot(step[:-1], step[:-1])
        longest = -slope / np.where(curvature > 0, curvature, np.inf)
        size = np.where(running, np.clip(longest, -_LONGEST, _LONGEST), 0.0)
        slack = float(np.finfo(step.dtype).eps) * np.abs(state.loss)
        for halvings in range(_HALVINGS + 1):
            share = size[:, None].astype(step.dtype)
            moved = self.state(state.weights + share * step, state.logits + share * logits)
            worse = moved.loss > state.loss + 1e-4 * size * slope + slack
            if not worse.any():
                break
            size[worse] = size[worse] / 2 if halvings < _HALVINGS - 1 else 0.0
        return moved

    def _wrong(self, state: _State) -> np.ndarray:
        """The loss by the logits, [N, F, K]."""
        wrong = state.probabilities - self._one_hot[:, None]
        wrong *= self._kept[:, :, None]
        return np.asarray(wrong)


@dataclass(frozen=True)
class _Pair:
    """A step and what it changed, [R + 1, F, K] each.

    Attributes
    ----------
    moved : ndarray
        Weights.
    change : ndarray
        Of the gradient.
    divided : ndarray
        The change, divided by the bound.
    """

    moved: np.ndarray
    change: np.ndarray
    divided: np.ndarray


def _direction(gradient: np.ndarray, divided: np.ndarray, pairs: list[_Pair]) -> np.ndarray:
    """Gradient times the approximate inverse Hessian: the two loops of L-BFGS, fold by fold.

    The bound is divided by only once, ahead of the loops: what they subtract from the gradient is
    subtracted from the quotient as well.
    """
    q, r = gradient.copy(), divided.copy()
    shares = []
    for pair in reversed(pairs):
        share = _over(_dot(pair.moved, q), _dot(pair.moved, pair.change))
        wide = share.astype(q.dtype)[:, None]
        q -= wide * pair.change
        r -= wide * pair.divided
        shares.append(share)
    if pairs:
        # Where probabilities are near 0 or 1 the Hessian is far below its bound.
        last = pairs[-1]
        scale = _over(_dot(last.moved, last.change), _dot(last.change, last.divided))
        r *= np.where(scale > 0, scale, 1.0).astype(r.dtype)[:, None]
    for pair, share in zip(pairs, reversed(shares), strict=True):
        left = share - _over(_dot(pair.change, r), _dot(pair.moved, pair.change))
        r += left.astype(r.dtype)[:, None] * pair.moved
    return r


def _over(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Quotients of folds; zero where a fold did not move."""
    return np.where(b > 0, a / np.where(b > 0, b, 1.0), 0.0)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner products of each fold, [F]."""
    return np.asarray(np.einsum("rfk,rfk->f", a, b, dtype=np.float64))
