"""Pages on evidence have the tables of the committed results, and these are those of the CSVs."""

import json
import re
from pathlib import Path

import pytest

from studies import pages
from studies.real import command, evidence, facts, study, tables

SOURCES = Path(__file__).resolve().parents[2]
PAGES = [SOURCES / "docs" / f"{name}.md" for name in ("evidence", "evidence-details")]
ROOT = SOURCES / "studies" / "results" / "real"
MAKE = "run python -m studies real --page docs/evidence.md docs/evidence-details.md"

pytestmark = pytest.mark.skipif(
    not PAGES[0].is_file() or not ROOT.is_dir(), reason="not in the sources"
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


def test_pages_have_the_tables_of_the_results(kept):
    texts = [page.read_text() for page in PAGES]
    for text in texts:
        assert pages.filled(text, evidence.TABLES, kept) == text, MAKE
    marked = re.findall("<!-- table: (.*) -->", "".join(texts))
    assert sorted(marked) == sorted(evidence.TABLES)


def test_what_a_user_needs_first_is_two_pages():
    """Anything else belongs to the details."""
    assert len(PAGES[0].read_text().splitlines()) <= 150


def test_sentences_have_the_figures_of_the_results(kept):
    text = " ".join(PAGES[0].read_text().split())
    of = kept["sets"]["strangers"]["tables"]["all"]
    default = [of[n]["linear_probe@both"] for n in ("5", "20", "60")]
    assert "one to two accuracy points" in text
    assert all(1 <= row["regret@1"][0] <= 2 for row in default)
    assert "the best of the first three at most 0.3" in text
    assert max(row["regret@3"][0] for row in default) < 0.35
    assert "the first costs 17 points, the best of three half a point" in text
    free = of["5"]["consensus@pooled"]
    assert round(free["regret@1"][0]) == 17
    assert round(free["regret@3"][0], 1) == 0.5
    parc, pooled = (kept["sets"]["strangers"]["tables"]["reported on"]["20"][n]
                    for n in ("parc@pooled", "linear_probe@pooled"))  # fmt: skip
    written = [f"{row['weighted_kendall'][0]:.2f}"[1:] for row in (parc, pooled)]
    assert f"({written[0]} and {parc['regret@1'][0]:.1f} points)" in text
    assert f"the pooled probe one of them ({written[1]})" in text
    forward = kept["seconds"]["of"]["forward"]["20"]
    assert f"a pass takes {forward:.2f}".replace("0.", ".") in text
    asked = kept["target networks"]["both, 1.0"]["weighted_kendall"][0]
    assert f"a weighted Kendall of {asked:.2f}".replace("0.", ".") in text


def test_no_published_method_is_ahead_outside_the_noise(kept):
    """What their criterion was asked: nothing changes."""
    ahead = kept["sets"]["strangers"]["ahead of the default"]["20"]
    of_fitted = {name: row for name, row in ahead.items() if name.startswith("fitted@")}
    of_networks = {name: row["ahead"] for name, row in kept["target networks"].items()}
    assert len(of_fitted) > 20 < len(of_networks)
    assert all(low <= 0 for _, low, _ in (*of_fitted.values(), *of_networks.values()))


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
