"""Every ranking, judged by committed tables: what `python -m studies real` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyattrx.errors import InvalidValueError

from ..recommend.command import agreements as of_rooms
from ..recommend.command import judged_scores
from .consensus_study import by_copies, by_forms, by_images, by_size, choose_form
from .facts import Facts, read_facts, resemblance
from .mixed import LABELS as MIXED_LABELS
from .mixed import MIXED
from .mixed import TRUTH as MIXED_TRUTH
from .shown import MAIN
from .study import CHOOSING, LABELS, MEASURES, REPORTING, SEEN, Form, Study, choose, forms
from .tables import Row, read_rows

__all__ = ["ROOT", "SETS", "document", "estimate", "judged_file"]

ROOT = Path(__file__).resolve().parents[1] / "results" / "real"
# Who are candidates together, by groups.
SETS = {
    "strangers": ("strangers",),
    "one size": ("one size",),
    "with half sizes": ("strangers", "half size"),
    "with double sizes": ("strangers", "double size"),
    "with random ones": ("strangers", "random"),
}
_COSTS = ("parameters", "multiply_adds", "width", "input_size")
_DEFAULT = "linear_probe@both"  # of `pyattrx.recommend`
_TRUTH = "probe@pooled"
_KENDALL = "weighted_kendall"
_OTHERS = ("probe@2x2", "decoder@4x4", "fine-tuned")
# Rankings by labels that are held against other truths, and task by task.
_SOME = (
    "linear_probe@both", "linear_probe@pooled", "logme@pooled", "knn@pooled", "parc@pooled",
    "label_ridge@2x2",
)  # fmt: skip
_ASKED = "both, 1.0"  # what `pyattrx.recommend` reads for a target network, and its penalty
_MADE = "truths.csv and scores.csv, which a run with data and weights makes"


def judged_file(root: Path = ROOT) -> Path:
    """Where all that tables of a page are made of is kept."""
    return root / "judged.json"


def document(root: Path = ROOT, samples: int = 500) -> dict[str, Any]:
    """Judge every ranking by committed tables, as JSON types.

    Parameters
    ----------
    root : Path
    samples : int
        Of the bootstrap.

    Raises
    ------
    InvalidValueError
        There are no tables.
    """
    truths, scores = read_rows(root / "truths.csv"), read_rows(root / "scores.csv")
    if not truths or not scores:
        raise InvalidValueError("results", str(root), f"a folder with {_MADE}")
    facts, tasks = read_facts(root / "networks.csv"), read_facts(root / "tasks.csv")
    published = read_rows(root / "published.csv")
    scores += read_rows(root / "fitted.csv")
    scores += [row for row in published if row.name.startswith("fitted@")]
    between, resembles = read_rows(root / "between.csv"), resemblance(tasks, facts)
    sets: dict[str, Any] = {}
    found = {"tasks": tasks, "networks": facts, "sets": sets}
    for title, members in SETS.items():
        names = [name for name, row in facts.items() if row["group"] in members]
        if {facts[name]["group"] for name in names} != set(members):
            continue
        costs = {c: {n: float(facts[n][c] or "nan") for n in names} for c in _COSTS}
        study = Study(truths, scores, names, title, costs, between, resembles)
        sets[title] = _judged(study, samples)
        if members == ("strangers",):
            found["consensus"] = _of_consensus(study, samples)
            rooms = of_rooms()
            found["rendered rooms"] = rooms["kinds"].get("all", {})
            found["targets, rendered rooms"] = rooms["targets"]
            mixed = [read_rows(root / f"mixed-{kind}.csv") for kind in ("truths", "scores")]
            if all(mixed):
                own = Study(mixed[0], mixed[1], names, MIXED, costs, full=MIXED_TRUTH)
                found["many classes"] = _estimated(
                    own.judged(forms(own.names), MIXED_LABELS, [MIXED], samples=samples)
                )
            found["seen images"] = _of_seen(study, samples)
            asked = [row for row in published if not row.name.startswith("fitted@")]
            asked += read_rows(root / "targets.csv")
            found["target networks"] = _of_targets(study, asked, samples)
            found["other truths"] = _by_truth(study, samples)
            found["by task"] = _by_task(study, samples)
            found["rendered rooms, scores"] = _of_scores(MAIN)
    spent = root / "seconds.csv"
    found["seconds"] = _numbers(read_facts(spent)) if spent.is_file() else {}
    return found


def _of_seen(study: Study, samples: int) -> dict[str, Any]:
    """What changes where networks that were trained on a task's images are candidates, too."""
    tasks = [task for task in SEEN if task in study.tasks]
    every = forms(study.names)
    with_them = study.with_seen()
    return {
        str(n): {
            "without": _estimated(study.judged(every, n, tasks, samples=samples)),
            "with": _estimated(with_them.judged(every, n, tasks, samples=samples)),
        }
        for n in (LABELS if tasks else ())
    }


def _of_targets(study: Study, asked: Sequence[Row], samples: int) -> dict[str, Any]:
    """Rank by networks of a task itself, where there are any: no label is used.

    The mean over them, by what is read of both and the penalty, or by the method. "ahead" is
    weighted Kendall beyond that of `pyattrx.recommend`, by the same samples.
    """
    tasks = [task for task in SEEN if any(row.task == task for row in asked)]
    if not tasks:
        return {}

    def rankings(task: str, draw: int) -> dict[str, np.ndarray]:
        # Methods that need passes of their own were measured for the first draw only.
        here = [row for row in asked if row.task == task and row.draw in (0, draw)]
        return {row.name: row.of(study.networks) for row in here}

    judged = study.judge(rankings, tasks, samples=samples)
    by_way: dict[str, list[Mapping[str, np.ndarray]]] = {}
    for name, rows in judged.items():
        by_way.setdefault(name.partition(":")[0], []).append(rows)
    means = {
        way: {m: np.mean([one[m] for one in every], axis=0) for m in MEASURES}
        for way, every in by_way.items()
    }
    found = _estimated(means)
    for way, rows in means.items() if _ASKED in means else ():
        found[way]["ahead"] = estimate(rows[_KENDALL] - means[_ASKED][_KENDALL])
    return found


def _some(study: Study) -> list[Form]:
    return [form for form in forms(study.names) if form.name in _SOME]


def _by_truth(study: Study, samples: int) -> dict[str, Any]:
    """Hold rankings by 20 labels a class against every kind of truth."""
    judged = {
        kind: study.judged(_some(study), 20, study.tasks, kind, samples)
        for kind in (_TRUTH, *_OTHERS)
        if all(np.isfinite(study.truth(task, kind)).sum() > 2 for task in study.tasks)
    }
    return {kind: _estimated(rows) for kind, rows in judged.items()}


def _by_task(study: Study, samples: int) -> dict[str, Any]:
    """Judge rankings task by task, and say how near the best networks are to each other."""
    found: dict[str, Any] = {}
    for task in study.tasks:
        judged = {n: study.judged(_some(study), n, [task], samples=samples) for n in LABELS}
        best = np.sort(study.truth(task)[study.candidates(task)])[::-1][:5]
        found[task] = {
            "behind": {str(i + 1): round(100 * float(best[0] - v), 4) for i, v in enumerate(best)},
            **{str(n): _estimated(rows) for n, rows in judged.items()},
        }
    return found


def _of_scores(names: Sequence[str]) -> dict[str, Any]:
    """The same rankings on rendered rooms, of tasks with a label an image."""
    counts = ("5", "20", "all")
    return {row["name"]: {n: row[n] for n in counts} for row in judged_scores(names)}


def _numbers(rows: Mapping[str, Facts]) -> dict[str, Any]:
    """Seconds by name and labelled images a class, and the machine."""
    machines = sorted({row["measured_on"] for row in rows.values()})
    named = {
        name: {str(n): float(row[str(n)]) if row[str(n)] else None for n in LABELS}
        for name, row in rows.items()
    }
    return {"machines": machines, "of": named}


def _of_consensus(study: Study, samples: int) -> dict[str, Any]:
    parts = {"all": study.tasks, "chosen on": CHOOSING, "reported on": REPORTING}
    made: dict[str, Any] = {}
    for title, tasks in parts.items():
        if not set(tasks) <= set(study.tasks):
            continue
        by = {
            "forms": by_forms(study, tasks, samples),
            "copies": by_copies(study, tasks, samples),
            "images": by_images(study, tasks, samples),
            "candidates": by_size(study, tasks, samples),
        }
        made[title] = {name: _estimated(judged) for name, judged in by.items()}
        if title == "chosen on" and by["forms"] and by["copies"]:
            made["chosen"] = choose_form(by["forms"], by["copies"])
    return made


def _judged(study: Study, samples: int) -> dict[str, Any]:
    every = forms(study.names)
    parts: dict[str, Sequence[str]] = {"all": study.tasks}
    if study.title == "strangers":
        parts |= {"chosen on": CHOOSING, "reported on": REPORTING}
    found: dict[str, Any] = {
        "tables": {},
        "agreement of truths": {k: _share(study.agreement_of_truths(_TRUTH, k)) for k in _OTHERS},
        "retest": {str(n): _share(study.retest(_TRUTH, n)) for n in LABELS[:-1]},
    }
    for title, tasks in parts.items():
        if not set(tasks) <= set(study.tasks):
            continue
        judged = {n: study.judged(every, n, tasks, samples=samples) for n in LABELS}
        found["tables"][title] = {str(n): _estimated(rows) for n, rows in judged.items()}
        if title == "all":
            found["ahead of the default"] = {str(n): _ahead(rows) for n, rows in judged.items()}
        if title == "chosen on":
            few, *more = (judged[n] for n in LABELS)
            found["chosen"] = {
                "few labels": choose([few], every).name,
                "more labels": choose(more, every).name,
            }
    return found


def _ahead(judged: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, list[float]]:
    """How much more weighted Kendall a ranking has than the default, by the same samples."""
    if _DEFAULT not in judged:
        return {}
    default = judged[_DEFAULT][_KENDALL]
    return {name: estimate(rows[_KENDALL] - default) for name, rows in judged.items()}


def _share(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _estimated(judged: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
    return {name: {m: estimate(values[m]) for m in MEASURES} for name, values in judged.items()}


def estimate(values: np.ndarray) -> list[float]:
    """A mean, and its 95 % interval."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return [round(float(v), 4) for v in (values[0], low, high)]
