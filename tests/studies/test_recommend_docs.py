"""The figures of docs/recommend.md are those of the committed results."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from pyattrx.cli._bench import load_benchmarks


def part(name):
    """A module of the benchmarks, wherever they are."""
    return importlib.import_module(f"{load_benchmarks().__package__}.recommend.{name}")


MEASURES, Form = part("study").MEASURES, part("study").Form
SOURCES = Path(__file__).resolve().parents[2]
DOCS = SOURCES / "docs" / "recommend.md"
ROOT = SOURCES / "benchmarks" / "results" / "recommend"
TRANSFERS = SOURCES / "benchmarks" / "results" / "transfer"
SHOWN = ("spearman", "weighted_kendall", "regret@1")

pytestmark = [
    pytest.mark.skipif(not DOCS.is_file() or not ROOT.is_dir(), reason="not in the sources"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def found():
    return part("command").document(ROOT, TRANSFERS)


def shown(value):
    if value is None:
        return "–"
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.2f}"


def rows():
    lines = [line for line in DOCS.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines]


def test_every_row_of_figures_is_a_row_of_results(found):
    known = {
        tuple(shown(row[c][m]) for c in ("5", "20", "all") for m in SHOWN)
        for kind in found["kinds"].values()
        for row in kind
    }
    figures = [row[1:] for row in rows() if len(row) == 10 and "labels" not in row[1]]
    assert len(figures) >= 20
    for row in figures:
        assert tuple(row) in known, row


def test_intervals_are_those_of_results(found):
    image, dense = (
        {row["name"]: row["intervals"] for row in found["kinds"][kind]} for kind in found["kinds"]
    )
    known = {
        "linear probe, both": image["linear_probe@both"],
        "LogME, both": image["logme@both"],
        "consensus, label an image": image["consensus@pooled"],
        "`label_ridge`, label maps": dense["label_ridge@locations"],
        "linear probe, label maps": dense["linear_probe@locations"],
        "consensus, label maps": dense["consensus@pooled"],
    }
    figures = {row[0]: row[1:] for row in rows() if len(row) == 4 and row[0] in known}
    for name, intervals in known.items():
        within = [intervals[count]["weighted_kendall"] for count in ("5", "20", "all")]
        assert figures[name] == [f"{shown(low)} to {shown(high)}" for low, high in within]


def test_other_seeds_give_nearly_the_same_figures():
    """As the page says: four in five within .05 of seed 0, all within .17."""
    command, scores = part("command"), part("scores")
    files = [scores.read(command.score_file(ROOT, seed)) for seed in range(3)]
    every = [command._results(one, seed, TRANSFERS) for seed, one in enumerate(files)]
    image = part("study").image_targets(files[0])
    of_images = ("linear_probe@both", "logme@both", "knn@both", "linear_probe@pooled")
    of_maps = ("label_ridge", "linear_probe", "knn", "logme")
    cases = [(name, image) for name in of_images]
    cases += [(f"{name}@locations", ~image) for name in of_maps]
    gaps = []
    for name, which in cases:
        for measure in ("weighted_kendall", "regret@1"):
            first, *others = (
                one[name][list(MEASURES).index(measure)][which].mean(0) for one in every
            )
            gaps += [abs(other - first) for other in others]
    flat = np.concatenate(gaps)
    flat = flat[np.isfinite(flat)]
    assert np.mean(flat <= 0.05) >= 0.8
    assert flat.max() <= 0.17


def test_the_races_are_those_of_results(found):
    titles = {
        "Four targets with a label an image": "one label an image",
        "Fourteen with label maps": "a label a location",
    }
    shown_rows = {row[0]: row[1:] for row in rows() if row[0] in titles}
    assert set(shown_rows) == set(titles)
    for title, kind in titles.items():
        raced = found["races"]["kinds"][kind]
        passes = f"{raced['passes']:.0%} ({raced['least']:.0%} to {raced['most']:.0%})"
        expected = [str(raced["races"]), passes.replace("%", " %"), str(raced["lost"])]
        expected += [shown(raced[key]) for key in ("regret", "regret of all")]
        assert shown_rows[title] == expected


def test_the_default_is_what_the_criterion_chose(found):
    from pyattrx.recommending.labelled import main_score
    from pyattrx.recommending.options import Options

    image, dense = found["chosen"].values()
    assert image == Form(main_score("classification"), "2x2").name
    assert dense == Form(main_score("dense_regression"), "locations").name
    assert Options.checked(0.0, 1, "cpu", False, 0.95, "skip").weight == 0


def test_measures_against_plain_definitions():
    truth = np.array([3.0, 1.0, 2.0, 0.0])
    assert MEASURES["spearman"](truth, truth) == 1
    assert MEASURES["weighted_kendall"](-truth, truth) == pytest.approx(-1)
    assert MEASURES["regret@1"](truth, truth) == 0
    # The worst one first: all that a blind choice loses (1.5), twice over.
    assert MEASURES["regret@1"](-truth, truth) == 2
    assert MEASURES["regret@3"](-truth, truth) == pytest.approx(1 / 1.5)
    # A swap of the best two costs more than one of the worst two.
    first, last = np.array([1.0, 3, 2, 0])[[0, 2, 1, 3]], np.array([3.0, 0, 2, 1])
    assert MEASURES["weighted_kendall"](first, truth) < MEASURES["weighted_kendall"](last, truth)
