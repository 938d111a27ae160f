"""The package's own rules: imports go one way, doctests run, public names are there."""

import ast
import doctest
import graphlib
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyattrx
from pyattrx.cli.bench import load_benchmarks

ROOT = Path(pyattrx.__file__).parent
_ROOT_MODULES = [path.stem for path in ROOT.glob("*.py")]

# Seven floors: a package imports from those below it, and from others on its own floor as long as
# these do not import from it.
FLOORS = [
    {"errors", *(name for name in _ROOT_MODULES if name.startswith("_"))},
    {"ops", "tree", "evaluate", "statistics", "photos"},
    {"probes", "tasks", "encoders"},
    {"methods", "running", "scores", "workers"},
    {"affinities", "features", "fitting", "storage"},
    {"query", "zoo", "recommending", "questions", "report"},
    {"demo", "benchmarks", "cli", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}
# Two that belong together: an answer draws itself, and what draws it knows its type.
TOGETHER = {
    ("report", "recommending"),
    ("report", "questions"),
    ("cli", "benchmarks"),
    ("benchmarks", "cli"),
}
FILES = sorted(ROOT.rglob("*.py"))
MODULES = sorted(
    m.name for m in pkgutil.walk_packages([str(ROOT)], "pyattrx.") if "__main__" not in m.name
)
# What may look behind a face.
BEHIND = {
    "gpu_pass.py": "takes a run apart, to time its parts",
}
MOST_LINES = 450
MOST_LINES_OF_A_FUNCTION = 80
# Longer, because
LONG = {
    "tasks/task.py": "the one public class, half of it docstrings",
    "probes/probes.py": "the one public class, half of it docstrings",
}


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


def package_of(path):
    """Package, or module, at the top that a file belongs to; None for pyattrx itself."""
    if path.name == "__main__.py":  # starts the command line, whatever package it is in
        return "__main__"
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    return None if own == "__init__" else own


def test_imports_go_one_way():
    edges = {(package_of(path), other) for path in FILES for other in imported(path)}
    edges = {(own, other) for own, other in edges if own not in (None, other)}
    assert {own for own, _ in edges} <= set(LEVEL)
    upwards = [f"{own} imports {other}" for own, other in edges if LEVEL[other] > LEVEL[own]]
    assert upwards == []
    graph = {}
    for own, other in edges - TOGETHER:
        graph.setdefault(own, set()).add(other)
    list(graphlib.TopologicalSorter(graph).static_order())  # raises where there is a circle


def _face_of(module):
    return ".".join(module.split(".")[:2])


def test_nothing_is_imported_past_a_face():
    beside = [f for part in ("benchmarks", "studies") for f in (ROOT.parent / part).rglob("*.py")]
    past = [
        f"{path}: {module}"
        for path in [*FILES, *beside]
        for module in imported_modules(path)
        if path.name not in BEHIND
        and module in MODULES
        and module.count(".") > 1
        and module.split(".")[1] not in ("demo", "benchmarks")
        and module.split(".")[2] not in importlib.import_module(_face_of(module)).__all__
        and not path.is_relative_to(ROOT / module.split(".")[1])
    ]
    assert past == []


def test_files_are_read_in_one_go():
    lines = {path: len(path.read_text().splitlines()) for path in FILES}
    named = {str(path.relative_to(ROOT)): count for path, count in lines.items()}
    assert {name for name, count in named.items() if count > MOST_LINES} == set(LONG)


def test_functions_are_short():
    beside = [f for part in ("benchmarks", "studies") for f in (ROOT.parent / part).rglob("*.py")]
    for path in [*FILES, *beside]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = node.body[0]
                said = 0 if ast.get_docstring(node) is None else first.end_lineno - first.lineno + 1
                lines = node.end_lineno - node.lineno + 1 - said
                assert lines <= MOST_LINES_OF_A_FUNCTION, f"{path}: {node.name}"


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
        "print([m for m in"
        " ('matplotlib', 'pandas', 'timm', 'transformers', 'faiss', 'captum', 'ray')"
        " if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
