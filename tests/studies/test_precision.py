"""The study of cheaper arithmetic: its committed results, and what the docs say of them."""

import json
from pathlib import Path

import pytest

from studies import cheaper, pages
from studies.cli import main

RESULTS = json.loads(cheaper.FILE.read_text())
PAGE = Path(__file__).parents[2] / "docs" / "conventions.md"


def test_the_page_has_the_committed_figures():
    text = PAGE.read_text()
    assert "<!-- table: precision -->" in text
    assert pages.filled(text, cheaper.TABLES, RESULTS) == text


def test_auto_changes_no_ranking():
    assert {row["method"] for row in RESULTS["rows"]} == set(cheaper.METHODS)
    assert all(row["unchanged"] for row in RESULTS["rows"] if row["precision"] == "auto")
    maps = [row for row in RESULTS["rows"] if row["least_cosine"] is not None]
    assert maps and not any(row["unchanged"] for row in maps)  # why auto leaves them alone


def test_it_prints_and_refuses(capsys, tmp_path):
    for arguments in (["precision"], ["precision", "--json"]):
        with pytest.raises(SystemExit):
            main(arguments)
    with pytest.raises(SystemExit) as refused:
        main(["precision", "--results", str(tmp_path / "none.json")])
    assert refused.value.code
