"""Pictures of the study: precision and recall by the number of sources, and trees side by side."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from PIL import Image

from pyattrx import evaluate, report
from pyattrx._files import atomic_write
from pyattrx.report import Curve

from .methods import PUBLISHED
from .probes import PROBE_SETS
from .study import Run, Study, choose
from .trees import tree_of_method, tree_of_truth

__all__ = ["draw"]

_K = range(1, 11)
_METHODS = ("rsa", "depara, grad_x_input + 1 edges", "ridge")
_BASELINES = ("random", "source popularity", "symmetrised truth (ceiling)", "retest (ceiling)")


def draw(study: Study, folder: Path) -> list[Path]:
    """Draw P@K and R@K for both probe sets, and the trees.

    Parameters
    ----------
    study : Study
    folder : Path
        Where to; made if missing.

    Returns
    -------
    list of Path
        ``precision_PROBES.png`` and ``trees.png``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = choose(study)[0][0]
    baselines = study.baselines()
    written = []
    for probes in PROBE_SETS:
        names = dict.fromkeys([chosen, *PUBLISHED[:2], *_METHODS])
        panels: dict[str, list[Curve]] = {"P@K": [], "R@K": []}
        for name in names:
            _add(panels, name, study.runs(name, probes), "method")
        for name in _BASELINES:
            if name in baselines:
                _add(panels, name, baselines[name], "baseline")
        file = folder / f"precision_{probes}.png"
        title = f"Sources found among the five best, {probes} probes, seeds {study.seeds}"
        report.curves_figure(panels, title=title, path=file)
        written.append(file)
    file = folder / "trees.png"
    with tempfile.TemporaryDirectory() as parts:
        trees = {
            "Ground truth": tree_of_truth(study),
            f"{chosen}, rendered probes": tree_of_method(study, chosen, "rendered"),
            "saliency (published), rendered probes": tree_of_method(study, "saliency", "rendered"),
        }
        pictures: list[Path] = []
        for title, tree in trees.items():
            pictures.append(Path(parts) / f"{len(pictures)}.png")
            report.tree_figure(tree, title=title, path=pictures[-1])
        _beside(pictures, file)
    return [*written, file]


def _add(
    panels: dict[str, list[Curve]], name: str, runs: list[Run], kind: Literal["method", "baseline"]
) -> None:
    precision = evaluate.precision_curve(runs, k=list(_K))
    recall = [evaluate.recall_of(p, k, 5) for p, k in zip(precision, _K, strict=True)]
    for measure, estimates in (("P@K", precision), ("R@K", recall)):
        values, low, high = ([getattr(e, part) for e in estimates] for part in
                             ("value", "low", "high"))  # fmt: skip
        panels[measure].append(Curve(name, list(_K), values, low, high, kind))


def _beside(pictures: list[Path], file: Path) -> None:
    """Put pictures side by side, at their lower edges."""
    images = [Image.open(picture) for picture in pictures]
    width, height = sum(i.width for i in images), max(i.height for i in images)
    sheet = Image.new("RGB", (width, height), "white")
    left = 0
    for image in images:
        sheet.paste(image, (left, height - image.height))
        left += image.width
        image.close()
    with atomic_write(file) as out:
        sheet.save(out, "PNG")
