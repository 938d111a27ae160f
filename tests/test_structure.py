"""The package's own rules: imports go one way, doctests run, public names are there."""

import ast
import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyattrx
from pyattrx.cli.bench import load_benchmarks

# A package imports only from those before it. What stands together may import one another.
ORDER = [
    {
        "errors",
        "_ambient",
        "_help",
        "_near",
        "_layouts",
        "_modes",
        "_names",
        "_progress",
        "_files",
        "_saved",
    },
    {"ops", "tree", "evaluate"},
    {"probes"},
    {"tasks"},
    {"encoders"},
    {"attribution"},
    {"descriptors"},
    {"affinities"},
    {"scores"},
    {"fitting"},
    {"storage"},
    {"query"},
    {"zoo"},
    {"features"},
    {"recommending", "report"},
    {"demo"},
    {"benchmarks"},  # a folder beside the sources; inside the package once that is installed
    {"cli", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
ROOT = Path(pyattrx.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MODULES = sorted(
    m.name for m in pkgutil.walk_packages([str(ROOT)], "pyattrx.") if "__main__" not in m.name
)


def imported_modules(path):
    """What a file imports, and from where."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            yield from [alias.name for alias in node.names]


def imported(path):
    """Top-level packages of pyattrx that a file imports."""
    for name in imported_modules(path):
        parts = name.split(".")
        if parts[0] == "pyattrx" and len(parts) > 1 and parts[1] in LEVEL:
            yield parts[1]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if path.name == "__main__.py":  # starts the command line, whatever package it is in
        own = "__main__"
    if own == "__init__":
        return
    for other in imported(path):
        if other != own:
            assert LEVEL[other] <= LEVEL[own], f"{own} imports {other}"


@pytest.mark.parametrize("room", ["storage", "query"])
def test_rooms_are_entered_by_their_face(room):
    past = [
        f"{path}: {module}"
        for path in [*FILES, *sorted((ROOT.parent / "benchmarks").rglob("*.py"))]
        if path.parent != ROOT / room
        for module in imported_modules(path)
        if module.startswith(f"pyattrx.{room}.") and module in MODULES
    ]
    assert past == []


def test_nothing_that_is_installed_imports_studies():
    benchmarks = Path(load_benchmarks().__file__).parent
    for path in [*FILES, *benchmarks.rglob("*.py")]:
        assert "studies" not in {name.partition(".")[0] for name in imported_modules(path)}, path


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    if name == "pyattrx._core":
        return
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_public_functions_have_examples():
    finder = doctest.DocTestFinder(recurse=False)
    missing = []
    for owner in (pyattrx, pyattrx.ops, pyattrx.evaluate, pyattrx.scores):
        for name in owner.__all__:
            value = getattr(owner, name)
            if callable(value) and not isinstance(value, type):
                missing += [] if any(t.examples for t in finder.find(value, name)) else [name]
    assert missing == []


def test_every_exported_name_exists():
    for name in MODULES:
        module = importlib.import_module(name)
        for exported in getattr(module, "__all__", []):
            assert hasattr(module, exported), f"{name}.{exported}"


def test_names_are_imported_when_asked_for_from_where_type_checkers_are_told():
    tree = ast.parse(Path(pyattrx.__file__).read_text())
    (told,) = (node for node in tree.body if isinstance(node, ast.If))
    names = []
    for line in told.body:
        home = importlib.import_module(line.module)
        for alias in line.names:
            assert getattr(pyattrx, alias.name) is getattr(home, alias.name)
            names.append(alias.name)
    assert sorted([*names, "__version__"]) == sorted(pyattrx.__all__)
    assert set(pyattrx.__all__) <= set(dir(pyattrx))
    assert pyattrx.features is importlib.import_module("pyattrx.features")
    assert not hasattr(pyattrx, "no_such_name")


def test_optional_packages_are_not_imported(tmp_path):
    code = (
        "import sys, pyattrx, pyattrx.cli;"
        "print([m for m in ('matplotlib', 'pandas', 'timm', 'transformers', 'faiss', 'captum')"
        " if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
