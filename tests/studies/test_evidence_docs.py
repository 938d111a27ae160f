"""The tables of docs/evidence.md are made of the committed results, and those of the tables."""

import json
from pathlib import Path

import pytest

from studies import pages
from studies.real import command, evidence, facts, study, tables

SOURCES = Path(__file__).resolve().parents[2]
DOCS = SOURCES / "docs" / "evidence.md"
ROOT = SOURCES / "studies" / "results" / "real"
MAKE = "run python -m studies real --page docs/evidence.md"

pytestmark = pytest.mark.skipif(
    not DOCS.is_file() or not ROOT.is_dir(), reason="not in the sources"
)


@pytest.fixture(scope="module")
def kept():
    return json.loads(command.judged_file(ROOT).read_text())


def leaves(found, at=()):
    """All numbers of a document, by where they are."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from leaves(value, (*at, key))
    elif isinstance(found, list):
        yield at, found[0]  # without its interval
    else:
        yield at, found


def test_the_page_has_the_tables_of_the_results(kept):
    text = DOCS.read_text()
    assert pages.filled(text, evidence.TABLES, kept) == text, MAKE
    for name in evidence.TABLES:
        assert f"<!-- table: {name} -->" in text, name


def test_the_results_are_those_of_the_tables(kept):
    """But for intervals, which would take a minute, and what is chosen by them."""
    found = json.loads(json.dumps(command.document(ROOT, samples=1)))
    now, before = dict(leaves(found)), dict(leaves(kept))
    assert now.keys() == before.keys(), MAKE
    for at, value in now.items():
        if "chosen" not in at:
            assert value == before[at], (at, MAKE)


def test_an_interval_is_that_of_the_tables(kept):
    names = [
        n
        for n, row in facts.read_facts(ROOT / "networks.csv").items()
        if row["group"] == "strangers"
    ]
    rows = (tables.read_rows(ROOT / f"{kind}.csv") for kind in ("truths", "scores"))
    own = study.Study(*rows, names)
    form = study.Form("linear_probe", "both")
    found = own.judged([form], 20, own.tasks, samples=500)[form.name]["weighted_kendall"]
    expected = kept["sets"]["strangers"]["tables"]["all"]["20"][form.name]["weighted_kendall"]
    assert command.estimate(found) == expected


def test_the_readme_says_the_same(kept):
    row = kept["sets"]["strangers"]["tables"]["all"]["20"]["linear_probe@both"]
    text = " ".join((SOURCES / "README.md").read_text().split())
    kendall = f"{row['weighted_kendall'][0]:.2f}".replace("0.", ".")
    assert f"agrees with what they reach to a weighted Kendall of {kendall}" in text
    assert f"is {row['regret@1'][0]:.1f} accuracy points behind the best" in text
    assert round(row["regret@3"][0], 1) == 0  # "of the first three none"
