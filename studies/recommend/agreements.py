"""Forms of the consensus, held against measured transfers: `studies.real` chose among them.

A form that was chosen there must not lose to the mean here outside the noise: weighted Kendall of
all targets, paired bootstrap over targets, 95 %, as the candidates are and with copies of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyattrx._files import atomic_write
from pyattrx.evaluate import row_spearman, row_weighted_kendall
from pyattrx.recommending import consensus

from ..minitaskonomy.data import Data
from ..minitaskonomy.tasks import TARGETS, TASKS
from ..real.agreements import FORMS, copied
from ..transfer.truth import read_truth
from .scores import DRAWS, features_of, images_of, load_source, parts_of, small
from .study import difference

__all__ = [
    "IMAGES", "PENALTIES", "PLACES", "Agreements", "judge_forms", "judge_targets",
    "measure_agreements",
]  # fmt: skip

_Table = NDArray[np.float64]
PLACES = ("pooled", "2x2", "both", "locations")
_OF_CONSENSUS = PLACES[:2]
PENALTIES = (0.1, 1.0, 10.0)
IMAGES = 160
_COPIES = 9
_PRODUCT = "targets standardized"  # what `pyattrx.recommend` has, of so many
_CLEAN = "clean"


@dataclass(frozen=True, eq=False)
class Agreements:
    """What the encoders of one seed know of each other.

    Attributes
    ----------
    sources, images : tuple of str
        `images` says of what: "clean", or the targets whose networks see other images.
    tables : ndarray [images, draws, places, penalties, S, S], float32
        R^2 of targets by sources.
    """

    sources: tuple[str, ...]
    images: tuple[str, ...]
    tables: NDArray[np.float32]

    def of(self, target: str, draw: int, place: str, penalty: float = 0.1) -> _Table:
        """Return what the sources of a target know of each other, its own encoder left out."""
        which = self.images.index(target if target in self.images else _CLEAN)
        others = [i for i, name in enumerate(self.sources) if name != target]
        table = self.tables[which, draw, PLACES.index(place), PENALTIES.index(penalty)]
        return np.asarray(table[np.ix_(others, others)], np.float64)

    def of_target(self, target: str, draw: int, place: str, penalty: float) -> _Table:
        """R^2 of the target's own encoder by its sources, [S]."""
        which = self.images.index(target if target in self.images else _CLEAN)
        own = self.sources.index(target)
        table = self.tables[which, draw, PLACES.index(place), PENALTIES.index(penalty)]
        return np.delete(table[own].astype(np.float64), own)

    @classmethod
    def read(cls, file: Path) -> Agreements:
        """Read what `measure_agreements` wrote."""
        with np.load(file, allow_pickle=False) as found:
            return cls(
                tuple(found["sources"].tolist()), tuple(found["images"].tolist()), found["tables"]
            )


def measure_agreements(
    folder: Path,
    seed: int,
    out: Path,
    say: Callable[[str], None],
    targets: Sequence[str] = TARGETS,
) -> Path:
    """Predict what every encoder sees from what every other one sees; no label is used.

    Parameters
    ----------
    folder, seed
        As of `scores.compute`.
    out : Path
        The file to write.
    say : callable
        Is told what is done.
    targets : sequence of str
    """
    data = Data(folder)
    sources = tuple(TASKS)
    encoders = [load_source(folder, seed, name) for name in sources]
    images = (_CLEAN, *(name for name in targets if TASKS[name].corrupt is not None))
    count = len(sources)
    tables = np.empty((len(images), DRAWS, len(PLACES), len(PENALTIES), count, count), np.float32)
    clean = next(name for name in TASKS if TASKS[name].corrupt is None)
    for i, which in enumerate(images):
        read = features_of(encoders, images_of(data, TASKS[clean if which == _CLEAN else which]))
        for draw in range(DRAWS):
            seen = parts_of(read, draw)
            pooled, maps = [x for x, _ in seen], [one for _, one in seen]
            coarse = [small(one).reshape(len(one), -1) for one in maps]
            both = [np.concatenate(pair, axis=1) for pair in zip(pooled, coarse, strict=True)]
            every = (pooled, coarse, both, maps)
            for p, features in enumerate(every):
                groups = np.arange(len(features[0]))
                for q, penalty in enumerate(PENALTIES):
                    found = consensus(features, groups, most=IMAGES, penalty=penalty)
                    tables[i, draw, p, q] = found.between
        say(f"agreements of {which} images: {count} encoders")
    with atomic_write(out) as file:
        np.savez_compressed(file, sources=np.array(sources), images=np.array(images), tables=tables)
    return out


def judge_forms(
    found: dict[int, Agreements], truths: Path, kinds: dict[str, NDArray[np.bool_]]
) -> dict[str, Any]:
    """Hold every form at every place against the transfers.

    Parameters
    ----------
    found : dict of int to Agreements
        By the seed of the encoders.
    truths : Path
        Where measured transfers are.
    kinds : dict of str to ndarray [T], bool
        Of `TARGETS`.

    Returns
    -------
    dict
        By kind of target, "as they are" or "with copies", and ``FORM@PLACE``: Spearman's
        correlation, weighted Kendall and regret, and how far "ahead" of the mean, pooled, its
        weighted Kendall is, with the interval.
    """
    # [seeds, measures, T, 1], of one count of labels: none.
    judged: dict[str, dict[str, list[NDArray[np.float64]]]] = {}
    for seed, one in found.items():
        truth = read_truth(truths, f"residual-seed{seed}").select(TARGETS, one.sources)
        for case, copies in (("as they are", 0), ("with copies", _COPIES)):
            rows = judged.setdefault(case, {})
            for place in _OF_CONSENSUS if not copies else _OF_CONSENSUS[:1]:
                for form in FORMS:
                    values = _judge(one, truth.table.values, form, place, 0.1, copies)
                    rows.setdefault(f"{form}@{place}", []).append(values)
                for penalty in PENALTIES[1:] if not copies else ():
                    name = f"{_PRODUCT}@{place}, penalty {penalty:g}"
                    values = _judge(one, truth.table.values, _PRODUCT, place, penalty, 0)
                    rows.setdefault(name, []).append(values)
    return {
        kind: {
            case: {name: _row(rows[name], rows["mean@pooled"], which) for name in rows}
            for case, rows in judged.items()
        }
        for kind, which in kinds.items()
    }


def judge_targets(found: dict[int, Agreements], truths: Path) -> dict[str, Any]:
    """Rank sources by how well they predict what the target's own encoder sees.

    Returns
    -------
    dict
        By ``PLACE, penalty PENALTY``, as of `judge_forms`; ahead of 2 x 2 with a penalty of .1.
    """
    rows: dict[str, list[NDArray[np.float64]]] = {}
    for seed, one in found.items():
        truth = read_truth(truths, f"residual-seed{seed}").select(TARGETS, one.sources)
        for place in PLACES:
            for penalty in PENALTIES:
                out = np.empty((len(_MEASURES), len(TARGETS), 1))
                for t, target in enumerate(TARGETS):
                    ranked = np.stack(
                        [one.of_target(target, draw, place, penalty) for draw in range(DRAWS)]
                    )
                    reached = truth.table.values[t, [name != target for name in one.sources]]
                    out[:, t, 0] = [m(ranked, reached).mean() for m in _MEASURES.values()]
                rows.setdefault(f"{place}, penalty {penalty:g}", []).append(out)
    every = np.ones(len(TARGETS), bool)
    return {name: _row(rows[name], rows["2x2, penalty 0.1"], every) for name in rows}


def _judge(
    found: Agreements, truth: _Table, form: str, place: str, penalty: float, copies: int
) -> NDArray[np.float64]:
    """Means over draws, and over who is copied, [measures, T, 1]."""
    out = np.empty((len(_MEASURES), len(TARGETS), 1))
    for t, target in enumerate(TARGETS):
        reached = truth[t, [name != target for name in found.sources]]
        values = []
        for draw in range(DRAWS):
            table = found.of(target, draw, place, penalty)
            count = len(table)
            every = [copied(table, i, copies) for i in range(count)] if copies else [table]
            ranked = np.stack([FORMS[form](one)[:count] for one in every])
            values += [[m(ranked, reached).mean() for m in _MEASURES.values()]]
        out[:, t, 0] = np.mean(values, axis=0)
    return out


def _regret(ranked: _Table, reached: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the first source loses, of what a blind choice loses."""
    lost = reached.max() - reached[ranked.argmax(1)]
    return np.asarray(lost / (reached.max() - reached.mean()))


# Of many rankings [F, S] and one truth [S]; by the names of `study.MEASURES`.
_MEASURES: dict[str, Callable[[_Table, NDArray[np.float64]], NDArray[np.float64]]] = {
    "spearman": row_spearman,
    "weighted_kendall": row_weighted_kendall,
    "regret@1": _regret,
}


def _row(
    values: Sequence[NDArray[np.float64]],
    mean: Sequence[NDArray[np.float64]],
    which: NDArray[np.bool_],
) -> dict[str, Any]:
    own, plain = (np.mean(one, axis=0) for one in (values, mean))
    row: dict[str, Any] = {
        name: round(float(own[m, which].mean()), 4) for m, name in enumerate(_MEASURES)
    }
    row["ahead"] = [round(v, 4) for v in difference(own, plain, which)]
    return row
