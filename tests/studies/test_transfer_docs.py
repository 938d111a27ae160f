"""The figures of docs/transfer.md and its details are those of the committed results."""

import importlib
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pyattrx import evaluate
from pyattrx.cli._bench import load_benchmarks


def part(name):
    """A module of the benchmarks, wherever they are."""
    return importlib.import_module(f"{load_benchmarks().__package__}.transfer.{name}")


study, across = part("study"), part("across")
ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / name for name in ("transfer.md", "transfer-details.md")]
RESULTS = ROOT / "benchmarks" / "results" / "transfer"
pytestmark = pytest.mark.skipif(
    not (PAGES[0].is_file() and RESULTS.is_dir()), reason="no docs, or no results, here"
)

CHOSEN = "normalized_ridge_p0.1"
METHODS = {
    "`recommended`": CHOSEN,
    "saliency (published)": "saliency",
    "grad x input (published)": "grad_x_input",
    "epsilon-LRP (published)": "elrp",
    "saliency of half the squared norm": "saliency_hsn",
    "RSA": "rsa",
    "linear CKA": "cka",
    "DDS": "dds",
    "DEPARA (grad x input, lambda 1)": "depara, grad_x_input + 1 edges",
    "DEPARA": "depara, grad_x_input + 1 edges",
    "SVCCA": "svcca",
    "ridge": "ridge",
    "perturbation response": "perturbation_response",
    "saliency + normalised ridge + perturbation response": (
        "saliency_hsn_centred + normalized_ridge + perturbation_response"
    ),
}
RANKS = (
    evaluate.spearman,
    *(partial(evaluate.precision_at_k, k=k, ties="mean") for k in (1, 3, 5)),
)
COSTS = tuple(partial(evaluate.regret_at_k, k=k, ties="mean") for k in (1, 3, 5))


@pytest.fixture(scope="module")
def made():
    return study.Study(RESULTS)


def text():
    return "\n".join(page.read_text() for page in PAGES)


def rows(title):
    """Rows of the tables of a section: their labels, and the numbers of every cell."""
    section = text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    found = []
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        numbers = [re.findall(r"-?\d*\.\d+", cell) for cell in cells[1:]]
        if line.startswith("|") and any(numbers):
            found.append((cells[0].strip("*"), [float(n) for cell in numbers for n in cell]))
    return found


def mean(measures, *sets_of_runs):
    return [np.mean([m(a, t) for a, t in runs]) for runs in sets_of_runs for m in measures]


def check(found, expected):
    assert len(found) == len(expected)
    np.testing.assert_allclose(found, expected, atol=0.00501)


@pytest.mark.parametrize(
    ("title", "measures"), [("What wins", RANKS), ("What following a ranking costs", COSTS)]
)
def test_methods_and_baselines(made, title, measures):
    baselines = made.baselines()
    seen = 0
    for label, numbers in rows(title):
        if label in METHODS and len(numbers) == 2 * len(measures):
            sets = [made.runs(METHODS[label], probes) for probes in study.PROBE_SETS]
            check(numbers, mean(measures, *sets))
            seen += 1
        elif label in baselines:
            check(numbers, mean(measures, baselines[label]))
            seen += 1
    assert seen >= 9


def test_leads(made):
    parts = ((study.TARGETS, [1, 2]), (study.HELD_OUT, [1, 2]))
    table = rows("Its lead")
    assert len(table) == 9
    for label, numbers in table:
        expected = []
        for targets, seeds in parts:
            for probes in study.PROBE_SETS:
                mine, theirs = (
                    np.mean([evaluate.spearman(a, t)
                             for a, t in made.runs(name, probes, targets, seeds)])
                    for name in (CHOSEN, METHODS[label])
                )  # fmt: skip
                expected.append(mine - theirs)
        np.testing.assert_allclose(numbers[::3], expected, atol=0.00501)
        lows, highs = numbers[1::3], numbers[2::3]
        assert all(low < value < high
                   for low, value, high in zip(lows, numbers[::3], highs, strict=True))  # fmt: skip


def test_another_architecture(made):
    both = across.Across(made)
    conditions = [
        across.CONDITIONS[title]
        for title in ("target and sources residual", "target mixer, sources residual",
                      "target mixer, sources both")
    ]  # fmt: skip
    seen = 0
    for label, numbers in rows("Networks of another architecture"):
        if label in METHODS:
            runs = [both.runs(METHODS[label], p, c) for c in conditions for p in study.PROBE_SETS]
            check(numbers, mean(RANKS[:1], *runs))
            seen += 1
        else:
            assert label == "source popularity"
            check(numbers, mean(RANKS[:1], *(both.baselines(c)[label] for c in conditions)))
    assert seen == 8


def test_fitted_targets(made):
    for label, numbers in rows("A new task has no trained network yet"):
        runs = [made.fitted(METHODS[label], probes) for probes in study.PROBE_SETS]
        check(numbers, mean(RANKS, *runs))


def test_what_a_zoo_finds(made):
    measures = (*RANKS[1:], COSTS[0])
    table = dict(rows("What a zoo finds"))
    assert list(table) == ["index alone", "5 finalists", "8 finalists", "all sources"]
    for label, numbers in table.items():
        sets = []
        for probes in study.PROBE_SETS:
            near, order = (made.runs(name, probes) for name in ("saliency_hsn", CHOSEN))
            if label[0].isdigit():
                sets.append(study.rerank(near, order, int(label.split()[0])))
            else:
                sets.append(near if label == "index alone" else order)
        check(numbers, mean(measures, *sets))


def says(sentence):
    """Whether the pages have it, wherever its lines break."""
    return sentence in " ".join(text().split())


def test_counts_in_words(made):
    hits = []
    for probes in study.PROBE_SETS:
        (share,) = mean(RANKS[1:2], made.runs(CHOSEN, probes))
        hits.append(share * len(made.seeds) * len(study.TARGETS))
    assert says(
        f"for {hits[0]:.0f} of 54 targets with rendered probes and {hits[1]:.0f} with photos"
    )

    close, excess = [], []
    for scores, truth in made.runs(CHOSEN, "rendered"):
        for own, given, losses in zip(truth.own, scores.values, -truth.values, strict=True):
            named = losses[~own][np.argsort(-given[~own])[:5]]
            best = np.sort(losses[~own])
            close.append(best[5] < 1.01 * best[4])
            excess.append(named.mean() / best[:5].mean() - 1)
    near, more, middle = (f"{100 * v:.0f} %" for v in (np.mean(close), np.mean(excess),
                                                       np.median(excess)))  # fmt: skip
    assert says(f"in {near} of the cases the sixth best source loses less than 1 % more")
    assert says(f"have a mean loss {more} above that of the five best (median {middle})")


def test_untrained_and_mixers_in_words(made):
    control = [made.control("normalized_ridge", probes) for probes in study.PROBE_SETS]
    truth, *given = (f"{v:.1f}" for v in (control[0]["truth"], *(c["score"] for c in control)))
    assert says(f"has place {truth} of 20 on average")
    assert says(f"gives it {given[0]} with scenes, {given[1]} with photos")

    both = across.Across(made)
    condition = across.CONDITIONS["target mixer, sources both"]
    runs = both.runs("saliency_hsn", "rendered", condition)
    shares = {k: f"{v:.2f}"[1:] for k, v in both.mixers_first(runs).items()}
    (_, truth), *_ = runs
    candidates = (~np.isnan(truth.values)).sum(1)
    mixers = [name.endswith("@mixer") for name in truth.sources]
    assert set(candidates) == {26}
    assert set((~np.isnan(truth.values[:, mixers])).sum(1)) == {7}
    first = f"fills {shares['method']} of the five first places with the seven mixers"
    assert says(f"{first} among the 26 candidates")
    assert says(f"where {shares['truth']} are right")


def test_without_distance_in_words(made):
    targets, sources = ([n for n in names if n != "rgb2mist"]
                        for names in (study.TARGETS, study.TASKS))  # fmt: skip

    def of(name, measure):
        runs = made.runs(name, "rendered")
        both = [(a.select(targets, sources), t.select(targets, sources)) for a, t in runs]
        return f"{mean([measure], both)[0]:.2f}".removeprefix("0")

    rank, first, _, five = RANKS
    assert says(f"is at {of(CHOSEN, rank)} with scenes, P@1 {of(CHOSEN, first)} and P@5 "
                f"{of(CHOSEN, five)} (ridge {of('ridge', five)}, perturbation response "
                f"{of('perturbation_response', five)})")  # fmt: skip


def test_leads_and_architectures_in_words(made):
    """What the short page takes from the tables of the long one."""
    leads = dict(rows("Its lead"))
    assert says("(+.06 for ridge to +.46 for the published saliency)")
    assert (leads["ridge"][0], leads["saliency (published)"][0]) == (0.06, 0.46)
    others = dict(rows("Networks of another architecture"))["`recommended`"]
    assert says("(.91 against .92; photos .68 against .77)")
    assert others[:4] == [0.92, 0.77, 0.91, 0.68]
    fitted = dict(rows("A new task has no trained network yet"))["`recommended`"]
    assert says("saw only 320 images it is at .79 (.51)")
    assert (fitted[0], fitted[4]) == (0.79, 0.51)
