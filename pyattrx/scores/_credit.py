"""How far predictions of classes are right, where several classes may be predicted alike."""

from __future__ import annotations

import numpy as np

__all__ = ["credit"]


def credit(predicted: np.ndarray, codes: np.ndarray, rounding: float) -> np.ndarray:
    """Return the chance that a class drawn from the likeliest ones is an image's own, [N].

    Parameters
    ----------
    predicted : ndarray [N, K]
        Larger for classes that are likelier.
    codes : ndarray [N], int64
        The class of each image.
    rounding : float
        Classes that are this close to the likeliest are as likely.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.scores._credit import credit
    >>> credit(np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]]), np.array([1, 1, 1]), 1e-6).tolist()
    [1.0, 0.5, 0.0]
    """
    likeliest = predicted >= predicted.max(1, keepdims=True) - rounding
    shared: np.ndarray = likeliest[np.arange(len(codes)), codes] / likeliest.sum(1)
    return shared
