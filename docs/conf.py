"""How Sphinx makes the site of these pages: `make docs`.

The pages stay plain Markdown, for a code host. What only the site needs is added while they are
read: the navigation, and the two files that lie above this folder.
"""

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import PycodeError
from sphinx.pycode import ModuleAnalyzer

import pyattrx

HERE = Path(__file__).resolve().parent

project = "pyattrx"
author = "The pyattrx developers"
copyright = author  # no year: the same sources are the same pages
version = release = pyattrx.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
templates_path = ["_templates"]
nitpicky = False  # types of other packages have no page here

# Every page that has pages below it. The first ones are the bar at the top.
NAVIGATION = {
    "index": [
        "Quick start <quickstart>",
        "How-to <README>",
        "Methods <methods>",
        "Evidence <evidence>",
        "Performance <kernels>",
        "API <api/index>",
        "Design <guarantees>",
        "Changelog <changelog>",
    ],
    "README": [
        "models",
        "tasks",
        "recommend",
        "zoo",
        "layers",
        "explain",
        "faithfulness",
        "compare",
        "cluster",
    ],
    "methods": ["scores"],
    "evidence": ["evidence-details", "transfer", "transfer-details", "minitaskonomy"],
    "guarantees": ["conventions", "contributing"],
}
# Pages whose text is a file of the repository's root.
ABOVE = {"changelog": "CHANGELOG.md", "contributing": "CONTRIBUTING.md"}
# What people import from: a page each.
FACES = [
    "pyattrx",
    "pyattrx.tasks",
    "pyattrx.scores",
    "pyattrx.methods",
    "pyattrx.evaluate",
    "pyattrx.features",
    "pyattrx.zoo",
    "pyattrx.report",
    "pyattrx.ops",
    "pyattrx.errors",
]

myst_heading_anchors = 3
highlight_language = "text"  # indented blocks are of a shell
default_role = "py:obj"

autosummary_generate = True
autosummary_imported_members = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"  # docstrings say what arguments are
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = "pyattrx"
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {page: [] for page in ("quickstart", "kernels", "changelog")}  # nothing below
html_theme_options = {
    "header_links_before_dropdown": len(NAVIGATION["index"]),
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def _told_apart() -> dict[str, str]:
    """Files of generated pages whose names differ in case only: some file systems know one."""
    names = [f"{face}.{name}" for face in FACES for name in importlib.import_module(face).__all__]
    lower = [name.lower() for name in names]
    return {
        name: f"{name}-function"
        for name in names
        if lower.count(name.lower()) > 1 and name.rpartition(".")[2].islower()
    }


def _comment(face: str, name: str) -> str:
    """Return what is written above a constant, wherever it is defined."""
    for home in [face, *sorted(one for one in sys.modules if one.startswith("pyattrx."))]:
        try:
            comments = ModuleAnalyzer.for_module(home).find_attr_docs()
        except PycodeError:  # compiled
            continue
        if ("", name) in comments:
            return "\n".join(comments["", name]).strip()
    raise ValueError(f"{face}.{name} has no comment that begins with '#:'")


def _said() -> Iterator[tuple[str, str]]:
    """Yield what is said of everything exported that is neither a function nor a class."""
    for face in FACES:
        module = importlib.import_module(face)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.ismodule(value):
                yield f"{face}.{name}", inspect.getdoc(value) or ""
            elif not inspect.isroutine(value) and not inspect.isclass(value):
                yield f"{face}.{name}", _comment(face, name)


autosummary_filename_map = _told_apart()
autosummary_context = {
    "apart": [face.removeprefix("pyattrx.") for face in FACES],
    "top": pyattrx.__all__,
    "said": dict(_said()),
}


def _complete(app: Sphinx, page: str, text: list[str]) -> None:
    """Bring in a file from above, and the navigation below a page."""
    if page in ABOVE:
        app.env.note_dependency(str(HERE.parent / ABOVE[page]))
        text[0] = (HERE.parent / ABOVE[page]).read_text(encoding="utf-8")
    for other, file in ABOVE.items():
        text[0] = text[0].replace(f"](../{file}", f"]({other}.md")
    if page in NAVIGATION:
        entries = "\n".join(NAVIGATION[page])
        text[0] += f"\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n"


def _link(app: Sphinx, tree: nodes.document) -> None:
    """Let a page's ``pyattrx.NAME`` lead to what the API says of it."""
    for literal in list(tree.findall(nodes.literal)):
        name = literal.astext()
        named = re.fullmatch(r"pyattrx(\.\w+)+", name)
        if named and not isinstance(literal.parent, (nodes.reference, pending_xref)):
            page = app.env.docname
            link = pending_xref(refdomain="py", reftype="obj", reftarget=name, refdoc=page)
            literal.replace_self(link)
            link += literal


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.reference | None:
    """Link a bare name in a docstring to the first face that has it."""
    python = env.domains.python_domain
    for face in FACES:
        name = f"{face}.{node['reftarget']}"
        if node.get("refdomain") == "py" and name in python.objects:
            page = node["refdoc"]
            return python.resolve_xref(env, page, app.builder, "obj", name, node, text)
    return None


def setup(app: Sphinx) -> None:
    """Register the above with Sphinx."""
    app.connect("source-read", _complete)
    app.connect("doctree-read", _link)
    app.connect("missing-reference", _resolve)
