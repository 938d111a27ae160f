"""The site that `make docs` made: complete, linked, and of use without a network."""

import importlib
import re
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import pyattrx

SITE = Path(__file__).resolve().parents[2] / "build" / "site"

pytestmark = pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="no site: make docs")

FACES = ["tasks", "scores", "methods", "evaluate", "features", "zoo", "report", "ops", "errors"]
# Pages that a search or a browser asks for, and no page links to.
UNLINKED = {"genindex.html", "py-modindex.html", "search.html", "404.html"}
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}


class Page(HTMLParser):
    """Places, links, and files that a browser loads."""

    def __init__(self, path):
        super().__init__()
        self.places, self.links, self.loads = set(), [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.places |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag == "link" and found.get("rel") not in ("canonical", "search", "next", "prev"):
            self.loads.append(found["href"])
        if found.get(LOADED.get(tag, "")):
            self.loads.append(found[LOADED[tag]])


@pytest.fixture(scope="module")
def pages():
    return {
        path: Page(path) for path in sorted(SITE.rglob("*.html")) if "_static" not in path.parts
    }


def target(page, link):
    """File and place that a link leads to; None where it leaves the site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    return file, unquote(parts.fragment)


def elsewhere(pages):
    """Files of other hosts that pages load."""
    return {load for page in pages.values() for load in page.loads if re.match(r"(\w+:)?//", load)}


def dead(pages):
    """Links to a page, a place or a file that is not there."""
    found = []
    for path, page in pages.items():
        for link in page.links:
            file, place = target(path, link) or (path, "")
            there = place in ("", "top") or (file in pages and place in pages[file].places)
            if not (file.is_file() and there):
                found.append(f"{path}: {link}")
    return found


def test_nothing_is_loaded_from_elsewhere(pages):
    assert elsewhere(pages) == set()
    for style in SITE.rglob("*.css"):
        assert not re.search(r"(url\(|@import )\s*['\"]?(https?:)?//", style.read_text()), style


def test_everything_that_is_loaded_is_there(pages):
    missing = {
        str(file)
        for path, page in pages.items()
        for load in page.loads
        if not load.startswith(("data:", "http"))
        for file, _ in [target(path, load)]
        if not file.is_file()
    }
    assert missing == set()


def test_links_lead_somewhere(pages):
    assert dead(pages) == []


def test_every_page_is_reached_from_the_first(pages):
    leads = defaultdict(set)
    for path, page in pages.items():
        leads[path] = {found[0] for link in page.links if (found := target(path, link))}
    reached, waiting = set(), {SITE / "index.html"}
    while waiting:
        reached |= waiting
        waiting = set().union(*(leads[page] for page in waiting)) & set(pages) - reached
    left = {str(page.relative_to(SITE)) for page in set(pages) - reached}
    assert left <= UNLINKED


def test_every_public_name_has_its_place(pages):
    places = set().union(*(page.places for page in pages.values()))
    wanted = {f"pyattrx.{name}" for name in pyattrx.__all__} | {f"pyattrx.{f}" for f in FACES}
    for face in FACES:
        names = importlib.import_module(f"pyattrx.{face}").__all__
        wanted |= {f"pyattrx.{face}.{name}" for name in names if name not in pyattrx.__all__}
    assert {
        name for name in wanted if name not in places and f"module-{name}" not in places
    } == set()


def test_mistakes_are_seen(tmp_path):
    page = tmp_path / "index.html"
    page.write_text(
        "<a href='gone.html'>1</a><a href='#nowhere'>2</a><a href='#here' id='here'>3</a>"
        "<script src='//cdn.example/a.js'></script><a href='https://example.org'>4</a>"
    )
    pages = {page: Page(page)}
    assert dead(pages) == [f"{page}: gone.html", f"{page}: #nowhere"]
    assert elsewhere(pages) == {"//cdn.example/a.js"}
