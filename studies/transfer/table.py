"""Everything that the study says, from committed tables, as one document and as tables to read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rich.text import Text

from benchmarks import tables
from pyattrx._progress import progress

from ..minitaskonomy.tasks import TARGETS
from .across import CONDITIONS, Across
from .methods import BASE, CANDIDATES, FEWER_PROBES, PUBLISHED
from .probes import PROBE_SETS
from .scores import COUNTS
from .study import COSTS, HELD_OUT, MEASURES, Run, Study, choose, differences, judge, rerank
from .trees import agreement, tree_of_method, tree_of_truth

__all__ = ["FITTED", "document", "show"]

# Single methods that the chosen one is compared with; each by its own published form.
RIVALS = (
    *PUBLISHED, "saliency_hsn", "rsa", "cka", "dds", "depara, grad_x_input + 1 edges", "svcca",
    "ridge", "normalized_ridge", "perturbation_response",
)  # fmt: skip
FITTED = ("saliency", "saliency_hsn", "rsa", "ridge", "normalized_ridge", "perturbation_response")
_SUMS_SHOWN = 8
_INDEX, _FINALISTS = "saliency_hsn", (3, 5, 8, 10, 15)
_TREES = ("saliency", "rsa")


def document(study: Study) -> dict[str, Any]:
    """Compute all that is shown, as JSON types.

    Parameters
    ----------
    study : Study

    Returns
    -------
    dict
        ``seeds``; ``choice``, all candidates by the criterion; ``methods``, on all targets and
        seeds, and ``baselines``; ``reranked``, by a zoo; ``over_probes``, methods whose intervals
        are over probes, too; ``held_out``, what had no say in the choice, with the differences of
        the chosen method to its rivals; ``fewer_probes``; ``control``; ``fitted``, for targets
        whose networks saw 320 images; ``across``, rankings across architectures; ``trees``.
    """
    order = choose(study)
    chosen = order[0][0]
    sums = [name for name, _ in order if len(CANDIDATES[name].terms) > 1][:_SUMS_SHOWN]
    depara = [name for name in CANDIDATES if name.startswith("depara")]
    shown = list(dict.fromkeys([chosen, *BASE, *depara, *sums]))
    found: dict[str, Any] = {
        "benchmark": "transfer",
        "seeds": study.seeds,
        "targets": list(TARGETS),
        "held_out_targets": list(HELD_OUT),
        "choice": [{"method": name, "criterion": value} for name, value in order],
        "methods": {},
        "over_probes": [name for name in shown if study.knows_probes(name)],
    }
    parts: dict[str, Callable[[], Any]] = {
        "baselines": lambda: _baselines(study, TARGETS, study.seeds),
        "reranked": lambda: _reranked(study.runs, chosen),
        "held_out": lambda: _held_out(study, chosen),
        "fewer_probes": lambda: _fewer_probes(study),
        "control": lambda: _control(study),
        "fitted": lambda: _fitted(study, chosen),
        "across": lambda: _across(study, chosen),
        "trees": lambda: _trees(study, chosen),
    }
    with progress("judging methods", len(shown) + len(parts)) as advance:
        for name in shown:
            found["methods"][name] = {p: _judged(study.runs(name, p)) for p in PROBE_SETS}
            advance(1)
        for part, make in parts.items():
            found[part] = make()
            advance(1)
    return found


def _fewer_probes(study: Study) -> dict[str, Any]:
    return {
        name: {
            probes: {str(n): _judged(study.fewer(name, probes, n)) for n in COUNTS}
            for probes in PROBE_SETS
        }
        for name in FEWER_PROBES
    }


def _control(study: Study) -> dict[str, Any]:
    return {
        name: {probes: study.control(name, probes) for probes in PROBE_SETS}
        for name in ("saliency", "saliency_hsn", "normalized_ridge", "perturbation_response")
        if study.has_control
    }


def _fitted(study: Study, chosen: str) -> dict[str, Any]:
    return {
        name: {probes: _judged(study.fitted(name, probes)) for probes in PROBE_SETS}
        for name in dict.fromkeys([chosen, *FITTED])
        if all(study.fitted(name, probes) for probes in PROBE_SETS)
    }


def _trees(study: Study, chosen: str) -> dict[str, Any]:
    truth = tree_of_truth(study)
    found = {"ground truth": {"": agreement(truth, truth)}}
    for name in dict.fromkeys([chosen, *_TREES]):
        found[name] = {
            probes: agreement(tree_of_method(study, name, probes), truth) for probes in PROBE_SETS
        }
    return found


def _held_out(study: Study, chosen: str) -> dict[str, Any]:
    """What had no say: other targets, other encoders, and what is both.

    Encoders of another seed have nearly the same transfers, so of all targets half have been seen.
    """
    parts: dict[str, tuple[tuple[str, ...], list[int]]] = {"other targets": (HELD_OUT, study.seeds)}
    if others := [seed for seed in study.seeds if seed != 0]:
        parts["other encoders"] = (TARGETS, others)
        parts["other targets of other encoders"] = (HELD_OUT, others)
    return {
        part: {
            "seeds": seeds,
            "methods": {
                name: {
                    probes: _judged(study.runs(name, probes, targets, seeds))
                    for probes in PROBE_SETS
                }
                for name in dict.fromkeys([chosen, *RIVALS])
            },
            "baselines": _baselines(study, targets, seeds),
            "chosen_less": {
                probes: {
                    rival: {measure: d.to_dict() for measure, d in of_rival.items()}
                    for rival, of_rival in differences(
                        study, chosen, [r for r in RIVALS if r != chosen], probes, targets, seeds
                    ).items()
                }
                for probes in PROBE_SETS
            },
        }
        for part, (targets, seeds) in parts.items()
    }


def _reranked(runs: Callable[[str, str], list[Run]], chosen: str) -> dict[str, Any]:
    """Judge what a zoo finds with so many finalists."""
    return {
        str(count): {
            probes: _judged(rerank(runs(_INDEX, probes), runs(chosen, probes), count))
            for probes in PROBE_SETS
        }
        for count in _FINALISTS
    }


def _across(study: Study, chosen: str) -> dict[str, Any]:
    """Rankings across architectures, of the methods that need no sum but DEPARA's."""
    across = Across(study)
    if not across.seeds:
        return {}
    names = dict.fromkeys([chosen, *RIVALS])
    conditions: dict[str, Any] = {}
    for title, condition in CONDITIONS.items():
        runs = {
            name: {probes: across.runs(name, probes, condition) for probes in PROBE_SETS}
            for name in names
        }
        conditions[title] = {
            "methods": {
                name: {probes: _judged(r) for probes, r in of_name.items()}
                for name, of_name in runs.items()
            },
            "baselines": {name: _judged(r) for name, r in across.baselines(condition).items()},
        }
        if "both" in title:
            conditions[title]["mixers_first"] = {
                name: {probes: across.mixers_first(r) for probes, r in of_name.items()}
                for name, of_name in runs.items()
            }
        conditions[title]["reranked"] = _reranked(partial(across.runs, condition=condition), chosen)
    return {"seeds": across.seeds, "agreement": across.agreement(), "conditions": conditions}


def _baselines(study: Study, targets: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
    """Judge the baselines; without intervals where runs are not independent of one another."""
    found = {}
    for name, runs in study.baselines(targets, seeds).items():
        found[name] = _judged(runs)
        if len(runs) > len(seeds):  # the same transfers on both sides, by turns
            for estimate in found[name].values():
                estimate["low"] = estimate["high"] = None
    return found


def _judged(runs: Sequence[Any]) -> dict[str, dict[str, float | None]]:
    return {name: estimate.to_dict() for name, estimate in judge(runs).items()}


def show(found: Mapping[str, Any]) -> None:
    """Print a document.

    Parameters
    ----------
    found : dict
        What `document` returned.
    """
    out = tables.console()
    chosen = found["choice"][0]["method"]
    out.print(f"Encoder seeds {found['seeds']}, {len(found['targets'])} targets, 19 sources each")
    out.print(f"Chosen on half of the targets of seed 0: {chosen}\n")
    out.print(
        "Intervals of 95 % are over targets, seeds and probes; where there is a *, not over probes"
    )
    title = "All targets and seeds"
    out.print(_table(title, found))
    title = "What is lost by trying the first sources alone; 1 is a source picked by chance"
    costs = {name: found["methods"][name] for name in dict.fromkeys([chosen, *RIVALS])}
    out.print(_table(title, {"methods": costs, "baselines": found["baselines"]}, COSTS))
    out.print(_zoo_table(chosen, found))
    for part, of_part in found["held_out"].items():
        out.print(_table(f"No say in the choice: {part}, seeds {of_part['seeds']}", of_part))
        out.print(_differences_table(f"{chosen}, less others: {part}", of_part["chosen_less"]))
    fewer = tables.new_table(
        "from fewer probes", *(f">{p}, {n}" for p in PROBE_SETS for n in COUNTS)
    )
    fewer.title = "Spearman / P@5"
    for name, of_method in found["fewer_probes"].items():
        cells = [of_method[p][str(n)] for p in PROBE_SETS for n in COUNTS]
        fewer.add_row(
            name, *(f"{c['spearman']['value']:.2f} / {c['P@5']['value']:.2f}" for c in cells)
        )
    out.print(fewer)
    if found["fitted"]:
        out.print(
            _table("Targets fitted to 320 images", {"methods": found["fitted"], "baselines": {}})
        )
    if found["across"]:
        _show_across(out, found["across"], chosen)
    if found["control"]:
        _show_control(out, found["control"])
    trees = tables.new_table("tree", "probes", ">cophenetic correlation", ">Rand index of families")
    for name, of_tree in found["trees"].items():
        for probes, values in of_tree.items():
            trees.add_row(name, probes, f"{values['cophenetic']:.2f}", f"{values['families']:.2f}")
    out.print(trees)


def _show_control(out: Any, found: Mapping[str, Any]) -> None:
    control = tables.new_table("place of an untrained network, of 20", ">truth",
                           *(f">{p}" for p in PROBE_SETS))  # fmt: skip
    for name, of_method in found.items():
        places = [f"{of_method[p]['score']:.1f}" for p in PROBE_SETS]
        control.add_row(name, f"{of_method[PROBE_SETS[0]]['truth']:.1f}", *places)
    out.print(control)


def _zoo_table(chosen: str, found: Mapping[str, Any]) -> Any:
    names = {f"{count} finalists": found["reranked"][str(count)] for count in _FINALISTS}
    rows = {_INDEX: found["methods"][_INDEX], **names, chosen: found["methods"][chosen]}
    title = f"What a zoo finds: the nearest by {_INDEX}, in the order of {chosen}"
    shown = {"methods": rows, "baselines": {}, "over_probes": [_INDEX, chosen]}
    return _table(title, shown, ("P@1", "P@3", "P@5", "regret@1"))


def _show_across(out: Any, found: Mapping[str, Any], chosen: str) -> None:
    for title, of_condition in found["conditions"].items():
        out.print(_table(f"Across architectures: {title}, seeds {found['seeds']}", of_condition))
        out.print(_zoo_table(chosen, of_condition))
        if "mixers_first" not in of_condition:
            continue
        shares = tables.new_table("share of mixers among the first five", ">truth",
                                  *(f">{p}" for p in PROBE_SETS))  # fmt: skip
        for name, of_method in of_condition["mixers_first"].items():
            cells = [f"{of_method[p]['method']:.2f}" for p in PROBE_SETS]
            shares.add_row(Text(name), f"{of_method[PROBE_SETS[0]]['truth']:.2f}", *cells)
        out.print(shares)
    out.print(
        "Transfers from the same task by one and the other architecture: Spearman "
        f"{found['agreement']:.2f}"
    )


def _table(title: str, found: Mapping[str, Any], measures: Sequence[str] = MEASURES) -> Any:
    columns = [f">{probes}\n{m}" for probes in PROBE_SETS for m in measures]
    table = tables.new_table("method", *columns)
    table.title = title
    rows = list(found["methods"].items())
    starred = set(found["methods"]) - set(found.get("over_probes", found["methods"]))
    for place, (name, of_method) in enumerate(rows):
        cells = [_cell(of_method[p][m]) for p in PROBE_SETS for m in measures]
        table.add_row(
            Text(name + " *" * (name in starred)), *cells, end_section=place in (0, len(rows) - 1)
        )
    for name, values in found["baselines"].items():
        table.add_row(Text(name), *(_cell(values[m]) for m in measures))
    return table


def _differences_table(title: str, found: Mapping[str, Any]) -> Any:
    table = tables.new_table(
        "less", *(f">{p}\n{m}" for p in PROBE_SETS for m in ("spearman", "P@5"))
    )
    table.title = title
    for rival in found[PROBE_SETS[0]]:
        cells = [_cell(found[p][rival][m], "+") for p in PROBE_SETS for m in ("spearman", "P@5")]
        table.add_row(Text(rival), *cells)
    return table


def _cell(estimate: Mapping[str, Any], sign: str = "") -> str:
    """Write a value and its interval, without the zeros before the point."""
    parts = [estimate[part] for part in ("value", "low", "high") if estimate[part] is not None]
    return " ".join(re.sub(r"^([+-]?)0\.", r"\1.", f"{part:{sign}.2f}") for part in parts)
