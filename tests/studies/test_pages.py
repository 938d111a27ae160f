"""Tables of the documentation are those of the committed results, and of what is found anew."""

import functools
import re
from pathlib import Path

import pytest

from pyattrx.errors import InvalidValueError
from studies import pages
from studies.recommend import command as recommend
from studies.recommend.page import TABLES as RECOMMEND
from studies.recommend.study import Form
from studies.transfer.command import ROOT as TRANSFERS
from studies.transfer.page import TABLES as TRANSFER
from studies.transfer.study import Study

recommended = functools.cache(recommend.document)
DOCS = Path(__file__).resolve().parents[2] / "docs"


def marked(text):
    return re.findall("<!-- table: (.*) -->", text)


@pytest.mark.skipif(not TRANSFERS.is_dir() or not DOCS.is_dir(), reason="not in the sources")
@pytest.mark.parametrize(
    ("names", "tables", "make"),
    [
        (("transfer", "transfer-details", "methods"), TRANSFER, lambda: Study(TRANSFERS)),
        (("recommend",), RECOMMEND, recommended),
    ],
    ids=["transfer", "recommend"],
)
@pytest.mark.filterwarnings("ignore")
def test_pages_have_the_tables_of_the_results(names, tables, make):
    found, files = make(), [DOCS / f"{name}.md" for name in names]
    texts = [file.read_text() for file in files]
    assert sorted(name for text in texts for name in marked(text)) == sorted(tables)
    for text in texts:
        stale = f"python -m studies {names[0]} --page {' '.join(f'docs/{n}.md' for n in names)}"
        assert pages.filled(text, tables, found) == text, stale


@pytest.mark.skipif(not recommend.ROOT.is_dir(), reason="not in the sources")
@pytest.mark.filterwarnings("ignore")
def test_the_default_is_what_the_criterion_chose():
    from pyattrx.recommending.labelled import main_score
    from pyattrx.recommending.options import Options

    image, dense = recommended()["chosen"].values()
    assert image == Form(main_score("classification"), "2x2").name
    assert dense == Form(main_score("dense_regression"), "locations").name
    assert Options.checked(0.0, 1, "cpu", False, 0.95, "skip", None).weight == 0


def test_a_page_is_filled(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Page\n<!-- table: a b -->\nold\n<!-- end -->\nnot a table\n")
    pages.write(page, {"a b": lambda found: pages.markdown(["x"], [[pages.number(found)]])}, -0.5)
    assert page.read_text() == (
        "# Page\n<!-- table: a b -->\n| x |\n| --- |\n| -.50 |\n<!-- end -->\nnot a table\n"
    )
    with pytest.raises(InvalidValueError, match="'a b': expected one of c"):
        pages.write(page, {"c": str}, 0)


@pytest.mark.parametrize(
    ("value", "sign", "shown"),
    [(0.123, "", ".12"), (-0.5, "", "-.50"), (0.5, "+", "+.50"), (1.04, "", "1.04"),
     (0.999, "", "1.00"), (10.0, "", "10.00"), (None, "", "–")],
)  # fmt: skip
def test_numbers(value, sign, shown):
    assert pages.number(value, sign) == shown
