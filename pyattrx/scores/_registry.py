"""Every score by its name, with what has to be known to choose one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.scores._gbc import gbc
from pyattrx.scores._h_score import h_score
from pyattrx.scores._knn import knn
from pyattrx.scores._label_ridge import label_ridge
from pyattrx.scores._leep import leep, nce
from pyattrx.scores._linear_probe import linear_probe
from pyattrx.scores._logme import logme
from pyattrx.scores._nearest_mean import nearest_mean
from pyattrx.scores._nleep import nleep
from pyattrx.scores._parc import parc
from pyattrx.scores._result import Score
from pyattrx.scores._ridge_loo import ridge_loo
from pyattrx.scores._sfda import sfda
from pyattrx.scores._transrate import transrate

__all__ = ["SCORES", "ScoreKind", "names", "score"]

_INFINITY = float("inf")
_CLASSES = ("classification",)
_IMAGES = ("classification", "regression", "multilabel")
_DENSE = ("dense_classification", "dense_regression")


@dataclass(frozen=True)
class ScoreKind:
    """What has to be known of a score.

    Attributes
    ----------
    name : str
    function : callable
        ``function(features, labels, *, groups=None, ...) -> Score``.
    kinds : tuple of str
        Labels that it takes: "classification", "regression", "multilabel", and, of label maps,
        "dense_classification" and "dense_regression".
    needs : str
        What its first argument is: "features", "probabilities" or "predictions" (of the classes
        that the candidate was trained on).
    bounds : (float, float)
        Least and largest value, over all kinds of labels.
    scale_free : bool
        Whether features times a positive number have the same score.
    rotation_free : bool
        Whether rotated features have the same score.
    paper : str
    higher_is_better : bool
        True for every score.
    """

    name: str
    function: Callable[..., Score]
    kinds: tuple[str, ...]
    needs: str
    bounds: tuple[float, float]
    scale_free: bool
    rotation_free: bool
    paper: str
    higher_is_better: bool = True


#: Every score of features by its name, with what it takes and depends on.
SCORES: dict[str, ScoreKind] = {
    kind.name: kind
    for kind in (
        ScoreKind(
            "linear_probe", linear_probe, _IMAGES, "features", (-_INFINITY, 1.0), True, True,
            "Alain and Bengio 2016",
        ),
        ScoreKind(
            "knn", knn, _IMAGES, "features", (-_INFINITY, 1.0), True, True, "Cover and Hart 1967"
        ),
        ScoreKind(
            "label_ridge", label_ridge, (*_IMAGES, *_DENSE), "features", (-_INFINITY, 1.0), True,
            True, "normalized_ridge of this package, on labels",
        ),
        ScoreKind(
            "logme", logme, _IMAGES, "features", (-_INFINITY, _INFINITY), True, True,
            "You et al., ICML 2021",
        ),
        ScoreKind(
            "nearest_mean", nearest_mean, _CLASSES, "features", (0.0, 1.0), True, True,
            "Mensink et al. 2013",
        ),
        ScoreKind(
            "nleep", nleep, _CLASSES, "features", (-_INFINITY, 0.0), True, True,
            "Li et al., CVPR 2021",
        ),
        ScoreKind(
            "gbc", gbc, _CLASSES, "features", (-1.0, 0.0), True, True, "Pandy et al., CVPR 2022"
        ),
        ScoreKind(
            "ridge_loo", ridge_loo, _IMAGES, "features", (-_INFINITY, 1.0), True, True, "Allen 1974"
        ),
        ScoreKind(
            "sfda", sfda, _CLASSES, "features", (-_INFINITY, 0.0), False, True,
            "Shao et al., ECCV 2022",
        ),
        ScoreKind(
            "parc", parc, _IMAGES, "features", (-1.0, 1.0), True, False,
            "Bolya et al., NeurIPS 2021",
        ),
        ScoreKind(
            "h_score", h_score, _CLASSES, "features", (0.0, _INFINITY), True, True,
            "Bao et al., ICIP 2019; Ibrahim et al. 2022",
        ),
        ScoreKind(
            "transrate", transrate, _CLASSES, "features", (0.0, _INFINITY), True, True,
            "Huang et al., ICML 2022",
        ),
        ScoreKind(
            "leep", leep, _CLASSES, "probabilities", (-_INFINITY, 0.0), False, False,
            "Nguyen et al., ICML 2020",
        ),
        ScoreKind(
            "nce", nce, _CLASSES, "predictions", (-_INFINITY, 0.0), False, False,
            "Tran et al., ICCV 2019",
        ),
    )
}  # fmt: skip


def names(kind: str | None = None, *, needs: str | None = None) -> list[str]:
    """Names of the scores, those first that ranked best in our own comparisons.

    Parameters
    ----------
    kind : str, optional
        Only those that take such labels; see `ScoreKind`.
    needs : str, optional
        Only those whose first argument is this; see `ScoreKind`.

    Returns
    -------
    list of str

    Raises
    ------
    InvalidValueError
        No score has such a `kind` or `needs`.

    Examples
    --------
    >>> from pyattrx import scores
    >>> scores.names("dense_classification")
    ['label_ridge']
    """
    kinds = sorted({one for entry in SCORES.values() for one in entry.kinds})
    sources = sorted({entry.needs for entry in SCORES.values()})
    if kind is not None and kind not in kinds:
        raise InvalidValueError("kind", kind, f"one of {', '.join(map(repr, kinds))}, or None")
    if needs is not None and needs not in sources:
        raise InvalidValueError("needs", needs, f"one of {', '.join(map(repr, sources))}, or None")
    return [
        name
        for name, entry in SCORES.items()
        if (kind is None or kind in entry.kinds) and (needs is None or needs == entry.needs)
    ]


def score(name: str, features: Any, labels: Any, *, groups: Any = None, **options: Any) -> Score:
    """Score features by name.

    Parameters
    ----------
    name : str
        A key of `SCORES`.
    features : Tensor or ndarray
        What the score needs: features, probabilities or predictions.
    labels, groups
        See the score.
    **options
        See the score.

    Returns
    -------
    Score

    Raises
    ------
    InvalidTypeError, InvalidValueError
        No such score, or what it refuses itself.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx import scores
    >>> features = np.array([[0.0], [1.0], [4.0], [5.0]])
    >>> scores.score("nearest_mean", features, [0, 0, 1, 1]).value
    1.0
    """
    if not isinstance(name, str):
        raise InvalidTypeError("name", name, "the name of a score")
    if name not in SCORES:
        raise InvalidValueError("name", name, f"one of {', '.join(map(repr, SCORES))}")
    return SCORES[name].function(features, labels, groups=groups, **options)
