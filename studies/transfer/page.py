"""Tables of docs/transfer.md, transfer-details.md and methods.md, made of the committed ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from pyattrx import evaluate, methods

from ..minitaskonomy.tasks import TARGETS, TASKS
from ..pages import markdown, number
from .across import CONDITIONS, Across
from .paths import COSTS as PATH_COSTS
from .paths import path_runs, read_costs
from .probes import PROBE_SETS
from .responses import DEMO, RESPONSES
from .responses import read_costs as read_response_costs
from .scores import COUNTS
from .study import HELD_OUT, Run, Study, differences, judge, rerank
from .trees import agreement, tree_of_method, tree_of_truth

__all__ = ["TABLES"]

_CHOSEN, _INDEX = "normalized_ridge_p0.1", "saliency_hsn"
# What is shown, and what the pages call it.
_CALLED = {
    _CHOSEN: "**`recommended`**",
    "saliency": "saliency (published)",
    "grad_x_input": "grad x input (published)",
    "elrp": "epsilon-LRP (published)",
    _INDEX: "saliency of half the squared norm",
    "rsa": "RSA",
    "cka": "linear CKA",
    "dds": "DDS",
    "depara, grad_x_input + 1 edges": "DEPARA (grad x input, lambda 1)",
    "svcca": "SVCCA",
    "ridge": "ridge",
    "perturbation_response": "perturbation response",
    "saliency_hsn_centred + normalized_ridge + perturbation_response": (
        "saliency + normalised ridge + perturbation response"
    ),
}
_COSTLY = ("saliency", _INDEX, "cka", "ridge", "perturbation_response")
_RIVALS = (
    "saliency", "grad_x_input", _INDEX, "rsa", "cka", "dds", "depara, grad_x_input + 1 edges",
    "ridge", "perturbation_response",
)  # fmt: skip
_ACROSS = tuple(name for name in (_CHOSEN, *_RIVALS) if name not in ("grad_x_input", "dds"))
_FITTED = ("saliency", _INDEX, "rsa", "ridge", "perturbation_response")
_CONDITIONS = (
    "target and sources residual",
    "target mixer, sources residual",
    "target mixer, sources both",
)
_SHARP = 1.01  # a sixth best source that loses less than so many times the fifth is as good

Measure = Callable[[evaluate.Table, evaluate.Table], float]
_PRECISIONS: dict[str, Measure] = {
    f"P@{k}": partial(evaluate.precision_at_k, k=k, ties="mean") for k in (1, 3, 5)
}
_RANKS: dict[str, Measure] = {"Spearman": evaluate.spearman, **_PRECISIONS}
_COSTS: dict[str, Measure] = {
    f"regret@{k}": partial(evaluate.regret_at_k, k=k, ties="mean") for k in (1, 3, 5)
}


def _mean(measure: Measure, runs: Sequence[Run]) -> float:
    return float(np.mean([measure(scores, truth) for scores, truth in runs]))


def _cells(measures: Mapping[str, Measure], *of_probes: Sequence[Run]) -> list[str]:
    """Every measure of runs with rendered probes, then of those with photos."""
    return [number(_mean(m, runs)) for runs in of_probes for m in measures.values()]


def _head(measures: Mapping[str, Measure]) -> list[str]:
    return ["", *(f"{probes}: {m}" for probes in PROBE_SETS for m in measures)]


def _both(runs: Callable[[str, str], list[Run]], name: str) -> list[list[Run]]:
    return [runs(name, probes) for probes in PROBE_SETS]


def _judged(
    study: Study, measures: Mapping[str, Measure], names: Sequence[str], baselines: Sequence[str]
) -> str:
    rows = [[_CALLED[name], *_cells(measures, *_both(study.runs, name))] for name in names]
    for name, runs in study.baselines().items():
        if not baselines or name in baselines:
            rows.append([f"*{name}*", *_cells(measures, runs), *[""] * len(measures)])
    return markdown(_head(measures), rows)


def _methods(study: Study) -> str:
    return _judged(study, _RANKS, tuple(_CALLED), ())


# What names of methods are called in the tables of transfers.
_MEASURED = {"recommended": _CHOSEN, "depara": "depara, grad_x_input + 1 edges"}


_NAMED_PATHS = PATH_COSTS[1:]
# What is shown of attributions along paths: their names in the results, without a scalar's suffix.
_PATHS = {
    "demo_saliency": "saliency",
    "demo_grad_x_input": "grad x input",
    "integrated_gradients": "integrated gradients",
    "gradient_field": "`gradient_field`",
    "gradient_field{}_8steps": "the same, 8 steps",
    "gradient_field{}_whole": "the same, steps not of unit length",
    "abs_gradient_field": "the same, mean of magnitudes",
    "grad_x_activation": "gradient x activation at the last block",
    "conductance": "`conductance` there",
    "naa": "`naa` there",
    "layer_ig": "`layer_ig` there",
    "abs_grad_x_activation": "gradient x activation, mean of magnitudes",
    "abs_conductance": "`conductance`, mean of magnitudes",
    "abs_naa": "`naa`, mean of magnitudes",
    "abs_layer_ig": "`layer_ig`, mean of magnitudes",
}


_RESPONSE = "adversarial_response"
# The same of adversarial responses, and of what they are held against.
_RESPONSES = {
    "adversarial_response": "`adversarial_response`",
    "adversarial_response_signs": "*steps of random signs in place of the source's*",
    "adversarial_response_taken": "the source's steps really taken",
    "adversarial_response_taken_signs": "*steps of random signs really taken*",
    "adversarial_response_derivative": "`strength=None`",
    "adversarial_response_rank8": "`rank=8`",
    "adversarial_response_grid8": "`largest_grid=8`",
    "saliency": "saliency",
    "cka": "linear CKA",
    "perturbation_response": "perturbation response",
    _CHOSEN: "**`recommended`**",
}


def _of_the_demo(study: Study, name: str) -> list[str]:
    """Spearman with the encoders of the demo, by probes."""
    sets = (DEMO, PROBE_SETS[1]) if name in _RESPONSES else PROBE_SETS
    runs = [path_runs(study.root, study.truths[0], name, probes) for probes in sets]
    return [number(_mean(evaluate.spearman, some)) if some else number(None) for some in runs]


def _paths(study: Study) -> str:
    rows = []
    for name, called in _PATHS.items():
        cells = []
        for suffix in ("", "_hsn"):
            whole = name.format(suffix) if "{}" in name else name + suffix
            runs = path_runs(study.root, study.truths[0], whole, PROBE_SETS[0])
            found = judge(runs)["spearman"].to_dict()
            low, high = number(found["low"]), number(found["high"])
            cells += [f"{number(found['value'])} ({low} to {high})"]
            cells += [number(_mean(_PRECISIONS["P@5"], runs))]
        rows.append([called, *cells])
    head = [f"{s}: {m}" for s in ("mean", "half the squared norm") for m in ("Spearman", "P@5")]
    return markdown(["", *head], rows)


def _responses(study: Study) -> str:
    seconds = read_response_costs(study.root)
    rows = []
    for name, called in _RESPONSES.items():
        runs = path_runs(study.root, study.truths[0], name, DEMO)
        found = judge(runs)["spearman"].to_dict()
        scores = runs[0][0]
        rows.append([
            called,
            f"{number(found['value'])} ({number(found['low'])} to {number(found['high'])})",
            number(_mean(_PRECISIONS["P@5"], runs)),
            number(float(scores.values[~scores.own].mean())),
            f"{1000 * seconds[name]:.1f}" if name in RESPONSES else "",
        ])  # fmt: skip
    return markdown(["", "Spearman", "P@5", "mean score of a source", "ms an image"], rows)


def _path_costs(study: Study) -> str:
    seconds = read_costs(study.root)
    one = seconds["saliency"]
    rows = [
        [f"`{name}`", f"{1000 * seconds[name]:.1f}", f"{seconds[name] / one:.0f}"]
        for name in PATH_COSTS
    ]
    return markdown(["", "ms an image", "times saliency"], rows)


def _every_method(study: Study) -> str:
    """All that have a name: what they are, what they need, and how well they rank."""
    rows = []
    for name, method in methods.list().items():
        found = (
            _of_the_demo(study, name)
            if name in (*_NAMED_PATHS, _RESPONSE)
            else [
                number(_mean(evaluate.spearman, runs))
                for runs in _both(study.runs, _MEASURED.get(name, name))
            ]
        )
        low, high = (f"{bound:g}".replace("inf", "∞") for bound in method.bounds)
        way = "symmetric" if method.symmetric else "directional"
        needs = ", ".join(sorted(method.needs))
        rows.append([f"`{name}`", methods.summary(name), way, f"{low} to {high}", needs, *found])
    head = ["name", "what it compares", "", "score", "needs", *(f"{p}" for p in PROBE_SETS)]
    return markdown(head, rows)


def _costs(study: Study) -> str:
    shown = ("random", "source popularity", "symmetrised truth (ceiling)")
    return _judged(study, _COSTS, (_CHOSEN, *_COSTLY), shown)


def _trust(study: Study) -> str:
    """What the short page says of how sure a ranking is."""
    chosen = _both(study.runs, _CHOSEN)
    ranges = [judge(runs)["spearman"].to_dict() for runs in chosen]
    few = {n: [study.fewer("normalized_ridge", p, n) for p in PROBE_SETS] for n in COUNTS}
    apart = _without_distance(study, _CHOSEN)
    rivals = [_without_distance(study, name) for name in ("ridge", "perturbation_response")]
    control = [study.control("normalized_ridge", probes) for probes in PROBE_SETS]
    across = Across(study)
    same, other = (
        [across.runs(_CHOSEN, probes, CONDITIONS[title]) for probes in PROBE_SETS]
        for title in _CONDITIONS[:2]
    )
    count = len(study.seeds) * len(TARGETS)
    spearman = {"Spearman": evaluate.spearman}
    rows = [
        [f"first source named is among the five best, of {count} targets",
         *(f"{count * _mean(_PRECISIONS['P@1'], runs):.0f}" for runs in chosen)],
        ["Spearman, 95 %", *(f"{number(r['low'])} to {number(r['high'])}" for r in ranges)],
        *(
            [f"Spearman of normalised ridge (penalty 0.01), {n} probes", *_cells(spearman, *runs)]
            for n, runs in few.items()
        ),
        ["the same, 256 probes", *_cells(spearman, *_both(study.runs, "normalized_ridge"))],
        ["without distance: Spearman, P@1, P@5",
         *(", ".join(_cells({m: _RANKS[m] for m in ("Spearman", "P@1", "P@5")}, r))
           for r in apart)],
        ["without distance, P@5: ridge, perturbation response",
         *(", ".join(number(_mean(_RANKS["P@5"], r[i])) for r in rivals) for i in (0, 1))],
        ["place of an untrained network by normalised ridge, of 20 "
         f"(in truth {control[0]['truth']:.1f})", *(f"{c['score']:.1f}" for c in control)],
        ["Spearman, eight targets: networks of the sources' architecture",
         *_cells(spearman, *same)],
        ["the same, target of another architecture", *_cells(spearman, *other)],
        ["Spearman, targets whose networks saw 320 images",
         *_cells(spearman, *_both(study.fitted, _CHOSEN))],
    ]  # fmt: skip
    return markdown(["`recommended`", *PROBE_SETS], rows)


def _without_distance(study: Study, name: str) -> list[list[Run]]:
    """Runs without the task that is nearly another one."""
    targets, sources = ([n for n in names if n != "rgb2mist"] for names in (TARGETS, TASKS))
    return [
        [(a.select(targets, sources), t.select(targets, sources)) for a, t in runs]
        for runs in _both(study.runs, name)
    ]


def _trees(study: Study) -> str:
    truth = tree_of_truth(study)
    names = {_CHOSEN: PROBE_SETS, "saliency": PROBE_SETS}
    rows = [
        [_CALLED[name], *(number(value) for p in probes
                         for value in agreement(tree_of_method(study, name, p), truth).values())]
        for name, probes in names.items()
    ]  # fmt: skip
    own = [number(value) for value in agreement(truth, truth).values()]
    head = [f"{p}: {m}" for p in PROBE_SETS for m in ("cophenetic", "Rand index")]
    return markdown(["", *head], [*rows, ["*the truth itself*", *own, "", ""]])


def _leads(study: Study) -> str:
    others = [seed for seed in study.seeds if seed != 0]
    parts = [
        differences(study, _CHOSEN, _RIVALS, probes, targets, others)
        for targets in (TARGETS, HELD_OUT)
        for probes in PROBE_SETS
    ]
    rows = []
    for name in _RIVALS:
        found = [part[name]["spearman"].to_dict() for part in parts]
        cells = [
            f"{number(d['value'], '+')} ({number(d['low'])} to {number(d['high'])})" for d in found
        ]
        rows.append([_CALLED[name], *cells])
    head = [f"{p}, {n}" for n in ("18 targets", "9 unseen") for p in PROBE_SETS]
    return markdown(["over", *head], rows)


def _places(study: Study) -> str:
    """How sharp the places about the fifth are, with rendered probes."""
    close, excess = [], []
    for scores, truth in study.runs(_CHOSEN, PROBE_SETS[0]):
        for own, given, losses in zip(truth.own, scores.values, -truth.values, strict=True):
            named = losses[~own][np.argsort(-given[~own])[:5]]
            best = np.sort(losses[~own])
            close.append(best[5] < _SHARP * best[4])
            excess.append(named.mean() / best[:5].mean() - 1)
    rows = [
        ["targets whose sixth best source loses less than 1 % more than the fifth",
         f"{np.mean(close):.0%}"],
        ["mean loss of the five named, above that of the five best", f"{np.mean(excess):.0%}"],
        ["the median of that", f"{np.median(excess):.0%}"],
    ]  # fmt: skip
    return markdown(["", PROBE_SETS[0]], [[what, value.replace("%", " %")] for what, value in rows])


def _architectures(study: Study) -> str:
    across, measures = Across(study), {"Spearman": evaluate.spearman}
    conditions = [CONDITIONS[title] for title in _CONDITIONS]
    rows = [
        [_CALLED[name], *(", ".join(_cells(measures, *(across.runs(name, p, c)
                                                      for p in PROBE_SETS)))
                         for c in conditions)]
        for name in _ACROSS
    ]  # fmt: skip
    name = "source popularity"
    rows.append([f"*{name}*", *_cells(measures, *(across.baselines(c)[name] for c in conditions))])
    return markdown(["", *_CONDITIONS], rows)


def _mixers(study: Study) -> str:
    """Who is named first where both architectures are among the sources, and what a zoo finds."""
    across, condition = Across(study), CONDITIONS[_CONDITIONS[2]]
    near, order = (
        [across.runs(name, p, condition) for p in PROBE_SETS] for name in (_INDEX, _CHOSEN)
    )
    rows = []
    for name, runs in ((_INDEX, near), (_CHOSEN, order)):
        shares = [across.mixers_first(r) for r in runs]
        rows.append(
            [f"mixers among the five first of {_CALLED[name]} (in truth "
             f"{number(shares[0]['truth'])})", *(number(s["method"]) for s in shares)]
        )  # fmt: skip
    measures = {"regret@1": _COSTS["regret@1"], "P@5": _PRECISIONS["P@5"]}
    for finalists in (5, 10, 15, None):
        sets = [
            o if finalists is None else rerank(n, o, finalists)
            for n, o in zip(near, order, strict=True)
        ]
        title = "all sources" if finalists is None else f"{finalists} finalists"
        rows.append([f"{title}: regret@1, P@5", *(", ".join(_cells(measures, r)) for r in sets)])
    both = CONDITIONS["target residual, sources both"]
    for name in (_INDEX, _CHOSEN):
        runs = [across.runs(name, p, both) for p in PROBE_SETS]
        rows.append(
            [f"all 18 targets, residual: Spearman of {_CALLED[name]}",
             *_cells({"Spearman": evaluate.spearman}, *runs)]
        )  # fmt: skip
    return markdown(["", *PROBE_SETS], rows)


def _fitted(study: Study) -> str:
    names = (_CHOSEN, *_FITTED)
    rows = [[_CALLED[name], *_cells(_RANKS, *_both(study.fitted, name))] for name in names]
    return markdown(_head(_RANKS), rows)


def _zoo(study: Study) -> str:
    measures = {**_PRECISIONS, "regret@1": _COSTS["regret@1"]}
    near, order = (_both(study.runs, name) for name in (_INDEX, _CHOSEN))
    rows = [["index alone", *_cells(measures, *near)]]
    for count in (5, 8):
        sets = [rerank(n, o, count) for n, o in zip(near, order, strict=True)]
        rows.append([f"{count} finalists", *_cells(measures, *sets)])
    return markdown(_head(measures), [*rows, ["all sources", *_cells(measures, *order)]])


TABLES: dict[str, Callable[[Study], str]] = {
    "methods": _methods,
    "every method": _every_method,
    "costs": _costs,
    "trust": _trust,
    "trees": _trees,
    "leads": _leads,
    "places": _places,
    "architectures": _architectures,
    "mixers": _mixers,
    "fitted": _fitted,
    "zoo": _zoo,
    "paths": _paths,
    "path costs": _path_costs,
    "responses": _responses,
}
