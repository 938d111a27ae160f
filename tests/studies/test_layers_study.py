"""The study of layers: what is judged by hand, and the page that is made of results."""

from pathlib import Path

import numpy as np
import pytest

from studies.layers.command import ROOT
from studies.layers.judging import document
from studies.layers.page import TABLES
from studies.layers.scores import read_scores
from studies.layers.truth import IMAGES, SOURCES, STAGES, TARGETS, pairs, read
from studies.pages import filled


def test_the_page_is_what_the_results_say():
    page = Path(__file__).parents[2] / "docs" / "layers.md"
    found = document(read(ROOT / "truth.csv"), read_scores(ROOT / "scores.csv"))
    assert filled(page.read_text(), TABLES, found) == page.read_text()


def test_every_pair_is_there_once_and_none_is_of_itself():
    assert len(set(pairs())) == len(pairs()) == len(TARGETS) * len(SOURCES)
    assert all(target != source for target, source in pairs())


def test_judged_by_hand():
    # The loss of a stage is its place: the first is best, the last costs twice what chance does.
    rows = [
        (*pair, count, stage, float(place))
        for pair in pairs()
        for count in IMAGES
        for place, stage in enumerate(STAGES)
    ]
    right = {stage: -float(place) for place, stage in enumerate(STAGES)}
    scores = {("recommended", *pair): right for pair in pairs()}
    found = document(rows, scores)
    for count in map(str, IMAGES):
        judged = {name: of[count] for name, of in found["judged"].items()}
        assert judged["recommended"]["regret"] == judged["others"]["regret"] == 0
        assert judged["recommended"]["spearman"] == pytest.approx(1)
        assert judged["depth"]["regret"] == 2 and judged["depth"]["spearman"] == pytest.approx(-1)
        assert judged["middle"]["regret"] == 1 and judged["middle"]["best"] == 0
        assert judged["chance"]["regret"] == 1 and judged["chance"]["spearman"] is None
        assert judged["chance"]["best"] == pytest.approx(1 / len(STAGES))
        assert found["differences"]["depth"][count] == {"regret": -2, "low": -2, "high": -2}
        assert found["best stages"][count] == {"stem": 48} | dict.fromkeys(STAGES[1:], 0)


def test_a_pair_that_is_half_measured_does_not_count():
    rows = read(ROOT / "truth.csv")
    scores = read_scores(ROOT / "scores.csv")
    assert document(rows[:-1], scores)["pairs"] == document(rows, scores)["pairs"] - 1
    losses = np.array([loss for *_, loss in rows])
    assert np.isfinite(losses).all() and (losses > 0).all()
