"""Which pretrained network to start from, told from attribution maps.

Networks are points in a model space: each sees the same unlabelled probe images, one backward pass
a batch gives its attribution maps, and two networks are as near as their maps' mean cosine. The
nearest sources of a target transfer best (Song et al., NeurIPS 2019).

Examples
--------
>>> import torch, pyattrx
>>> probes = pyattrx.Probes.from_tensor(torch.rand(4, 3, 16, 16))
>>> encoders = [pyattrx.Encoder(torch.nn.Conv2d(3, 2, 3), name=name) for name in ("a", "b")]
>>> pyattrx.affinity(encoders, probes).nearest("a")[0].name
'b'
"""

from importlib import import_module as _import_module
from importlib.metadata import PackageNotFoundError as _NotInstalled
from importlib.metadata import version as _version
from importlib.util import find_spec as _find_spec
from typing import TYPE_CHECKING

try:
    #: The version that is installed.
    __version__ = _version("pyattrx")
except _NotInstalled:  # a source tree
    __version__ = "0+unknown"

__all__ = [
    "ELRP",
    "Affinity",
    "AttributionMaps",
    "Combined",
    "Encoder",
    "Explanation",
    "Faithfulness",
    "FeatureMethod",
    "FitReport",
    "FittedEncoder",
    "GradXInput",
    "InnerAttribution",
    "InputAttribution",
    "Layer",
    "Layers",
    "Match",
    "Matches",
    "Method",
    "Normalize",
    "PreparedEncoder",
    "Probes",
    "PyattrxError",
    "Recommendation",
    "Saliency",
    "Standing",
    "Task",
    "Tree",
    "Zoo",
    "__version__",
    "affinity",
    "attribute",
    "errors",
    "evaluate",
    "explain",
    "faithfulness",
    "faithfulness_of_each",
    "fit_target",
    "layers",
    "list_models",
    "load",
    "load_many",
    "methods",
    "ops",
    "recommend",
    "scores",
    "set_progress",
]

# Where names are; imported when one is asked for, since torch takes seconds and help needs none.
_HOMES = {
    name: home
    for home, names in {
        "_progress": "set_progress",
        "affinities": "Affinity, affinity, attribute",
        "statistics": "Match",
        "methods": "ELRP, AttributionMaps, Combined, FeatureMethod, GradXInput, InnerAttribution, "
        "InputAttribution, Method, Saliency",
        "encoders": "Encoder, Normalize, PreparedEncoder, list_models, load, load_many",
        "errors": "PyattrxError",
        "fitting": "FitReport, FittedEncoder, fit_target",
        "probes": "Probes",
        "questions": "Explanation, Faithfulness, Layer, Layers, explain, faithfulness, "
        "faithfulness_of_each, layers",
        "recommending": "Recommendation, Standing, recommend",
        "tasks": "Task",
        "tree": "Tree",
        "zoo": "Matches, Zoo",
    }.items()
    for name in names.split(", ")
}

if TYPE_CHECKING:
    from pyattrx import errors, evaluate, methods, ops, scores
    from pyattrx._progress import set_progress
    from pyattrx.affinities import Affinity, affinity, attribute
    from pyattrx.encoders import (
        Encoder,
        Normalize,
        PreparedEncoder,
        list_models,
        load,
        load_many,
    )
    from pyattrx.errors import PyattrxError
    from pyattrx.fitting import FitReport, FittedEncoder, fit_target
    from pyattrx.methods import (
        ELRP,
        AttributionMaps,
        Combined,
        FeatureMethod,
        GradXInput,
        InnerAttribution,
        InputAttribution,
        Method,
        Saliency,
    )
    from pyattrx.probes import Probes
    from pyattrx.questions import (
        Explanation,
        Faithfulness,
        Layer,
        Layers,
        explain,
        faithfulness,
        faithfulness_of_each,
        layers,
    )
    from pyattrx.recommending import Recommendation, Standing, recommend
    from pyattrx.statistics import Match
    from pyattrx.tasks import Task
    from pyattrx.tree import Tree
    from pyattrx.zoo import Matches, Zoo
else:

    def __getattr__(name: str) -> object:
        if name in _HOMES:
            found = getattr(_import_module(f"pyattrx.{_HOMES[name]}"), name)
        elif not name.startswith("_") and _find_spec(f"pyattrx.{name}") is not None:
            found = _import_module(f"pyattrx.{name}")
        else:
            raise AttributeError(f"module 'pyattrx' has no attribute {name!r}")
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
