"""The study of faithfulness: what is judged by hand, and the page that is made of results."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from pyattrx import Method
from pyattrx.demo import minitaskonomy
from pyattrx.evaluate import read_table
from studies.faithfulness import METHODS
from studies.faithfulness.command import ROOT
from studies.faithfulness.judging import document, rank_quality
from studies.faithfulness.measuring import (
    FILLS,
    MEASURES,
    PATCHES,
    facts_file,
    measure,
    method_of,
    read,
    settings,
)
from studies.faithfulness.orders import NETWORK, measure_orders, read_orders
from studies.faithfulness.page import TABLES
from studies.minitaskonomy.tasks import TARGETS
from studies.pages import filled, number
from studies.transfer.command import ROOT as TRANSFERS

FILE = ROOT / "gains.csv"
ORDERS = ROOT / "orders.csv"
TEXT = (Path(__file__).parents[2] / "docs" / "faithfulness.md").read_text()
PAGE = " ".join(TEXT.split())


def test_the_page_is_what_the_results_say():
    found = document(read(FILE), rank_quality(TRANSFERS), read_orders(ORDERS))
    assert found["targets"] == len(TARGETS) and found["methods"] == len(METHODS)
    assert filled(TEXT, TABLES, found) == TEXT
    assert f"**{found['answer'].capitalize()}**, by that criterion" in TEXT
    of_distance = [one for name, one in found["settings"].items() if name.startswith("distance")]
    assert sum(one["low"] > 0 for one in of_distance) == 3  # as the page says in words
    others = [one for name, one in found["settings"].items() if name.startswith("scalar")]
    assert all(one["low"] < 0 < one["high"] for one in others)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (("rgb2depth", "saliency_hsn", "blur", 4), "the distance gains {}"),
        (("edge3d", "saliency", "mean", 4), "gains {} in patches of 4 x 4"),
        (("edge3d", "saliency", "mean", 1), "and {} pixel by pixel"),
    ],
)
def test_what_the_page_says_in_words_is_of_the_results(key, said):
    row = read(FILE)[key]
    shown = f"{number(row['distance'])} ± {number(row['distance stderr'])}"
    assert said.format(shown) in PAGE


def test_the_page_names_the_machine():
    facts = json.loads(facts_file(FILE).read_text())
    assert f"({facts['cpu']}, torch {facts['torch']})" in PAGE
    assert f"{facts['probes']} probes, {facts['steps']} steps" in PAGE


def test_every_method_is_there_in_every_setting():
    keys = itertools.product(TARGETS, METHODS, FILLS, PATCHES)
    found = read(FILE)
    assert set(found) == set(keys) and facts_file(FILE).is_file()
    assert all(np.isfinite(list(row.values())).all() for row in found.values())
    assert len(settings()) == 8


def test_every_name_is_a_method_with_whole_maps():
    methods = [method_of(name) for name in METHODS]
    assert all(isinstance(one, Method) and one.reduce != "none" for one in methods)
    assert len({str(one) for one in methods}) == len(METHODS)


def test_rank_quality_is_of_the_other_networks():
    name, target = "saliency", "rgb2depth"
    truth = minitaskonomy.transfers()
    scores = read_table(TRANSFERS / "scores" / "residual-seed0" / "rendered" / f"{name}.csv")
    others = [source for source in truth.sources if source != target]
    one, other = (table.select([target], others).values[0] for table in (scores, truth))
    expected = spearmanr(one, other).statistic
    assert rank_quality(TRANSFERS, (name,))[name][target] == pytest.approx(expected)


def quality():
    """Targets on which the methods have different orders, all of them known."""
    rng = np.random.default_rng(0)
    return {name: {f"target{i}": float(rng.random()) for i in range(6)} for name in METHODS}


def gains(of, sign=lambda setting: 1.0):
    return {
        (target, name, fill, patch): {what: sign((what, fill, patch)) * value for what in MEASURES}
        for name, row in of.items()
        for target, value in row.items()
        for fill in FILLS
        for patch in PATCHES
    }


def test_judged_by_hand():
    of = quality()
    found = document(gains(of), of)
    assert found["answer"] == "yes"
    assert all(one["spearman"] == pytest.approx(1) for one in found["settings"].values())
    assert document(gains(of, lambda _: -1.0), of)["answer"] == "the other way round"
    one = ("scalar", "blur", 4)
    found = document(gains(of, lambda setting: -1.0 if setting == one else 1.0), of)
    assert found["answer"] == "no" and found["settings"]["scalar, blur, 4"]["positive"] == 0
    assert found["by method"]["elrp"]["rank quality"] == pytest.approx(
        np.mean(list(of["elrp"].values()))
    )


def test_an_interval_is_over_targets():
    of = quality()
    rng = np.random.default_rng(1)
    said = {name: {target: float(rng.random()) for target in row} for name, row in of.items()}
    one = document(gains(said), of)["settings"]["distance, mean, 1"]
    each = [
        spearmanr([said[m][f"target{i}"] for m in METHODS], [of[m][f"target{i}"] for m in METHODS])
        for i in range(6)
    ]
    values = np.array([each_one.statistic for each_one in each])
    half = 2.5706 * values.std(ddof=1) / 6**0.5  # Student's t, five degrees of freedom
    assert one["spearman"] == pytest.approx(values.mean())
    assert [one["low"], one["high"]] == pytest.approx(
        [values.mean() - half, values.mean() + half], abs=1e-4
    )


def test_between_orders_is_one_area_less_the_other(tmp_path):
    said = []
    measure_orders(tmp_path / "orders.csv", said.append, patches=(32,), size=64, crops=1)
    (one,) = read_orders(tmp_path / "orders.csv")
    assert one.patch == 32 and one.between == pytest.approx(one.strongest - one.weakest, abs=1e-4)
    assert one.low < one.between < one.high and NETWORK in said[0]


def test_the_page_says_how_orders_lie():
    found = {one.patch: one for one in read_orders(ORDERS)}
    assert f"`{NETWORK}`" in PAGE
    for one in found.values():
        assert one.between == pytest.approx(one.strongest - one.weakest, abs=1e-4)
    small, large = found[8], found[32]
    assert max(small.strongest, small.weakest) < small.random and small.low < 0 < small.high
    assert large.low > 0


def test_a_small_measurement_that_goes_on(tmp_path):
    said = []

    def network():
        return [one for one in minitaskonomy.encoders() if one.name == "edge2d"]

    options = {"networks": network, "count": 2}
    measure(tmp_path / "gains.csv", said.append, methods=["saliency"], **options)
    first = read(tmp_path / "gains.csv")
    measure(tmp_path / "gains.csv", said.append, methods=["saliency"], **options)
    assert read(tmp_path / "gains.csv") == first and len(said) == 1
    assert set(first) == set(itertools.product(["edge2d"], ["saliency"], FILLS, PATCHES))
