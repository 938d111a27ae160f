"""How well ready features fit labels: plain functions, of use without the rest of the package.

Every score takes features, labels and optionally groups of images that belong together, and
returns a `Score`: a value (larger is better), its standard error, and what it takes to tell whether
two candidates differ (`compare`). `SCORES` says what each takes and depends on, `score` calls one
by its name.

Examples
--------
>>> import numpy as np
>>> from pyattrx import scores
>>> labels = np.arange(60) % 3
>>> noise = np.random.default_rng(0).standard_normal((60, 8))
>>> candidates = {"good": noise + 2 * np.eye(3, 8)[labels], "bad": noise}
>>> found = {name: scores.linear_probe(x, labels) for name, x in candidates.items()}
>>> max(found, key=lambda name: found[name].value)
'good'
>>> scores.compare(found["good"], found["bad"]).p_value < 0.01
True
"""

from pyattrx.scores._blocks import blocks
from pyattrx.scores._dense import dense_samples
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
from pyattrx.scores._registry import SCORES, ScoreKind, names, score
from pyattrx.scores._result import Comparison, Score, compare
from pyattrx.scores._ridge_loo import ridge_loo
from pyattrx.scores._sfda import sfda
from pyattrx.scores._transrate import transrate

__all__ = [
    "SCORES",
    "Comparison",
    "Score",
    "ScoreKind",
    "blocks",
    "compare",
    "dense_samples",
    "gbc",
    "h_score",
    "knn",
    "label_ridge",
    "leep",
    "linear_probe",
    "logme",
    "names",
    "nce",
    "nearest_mean",
    "nleep",
    "parc",
    "ridge_loo",
    "score",
    "sfda",
    "transrate",
]
