"""Where the benchmarks are: in the installed package, or beside it in the sources."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import pyattrx
from pyattrx.errors import MissingDependency

__all__ = ["load_benchmarks"]


def load_benchmarks() -> Any:
    """Import the module whose `main` runs the benchmarks.

    Raises
    ------
    MissingDependency
        This installation has no benchmarks.
    """
    if importlib.util.find_spec("pyattrx.benchmarks") is not None:
        return importlib.import_module("pyattrx.benchmarks.cli")
    sources = importlib.util.find_spec("benchmarks")
    beside = Path(pyattrx.__file__).resolve().parents[1] / "benchmarks" / "__init__.py"
    # Many projects have a folder of this name: it must be the one beside this package.
    if sources is not None and Path(sources.origin or "").resolve() == beside:
        return importlib.import_module("benchmarks.cli")
    raise MissingDependency("pyattrx.benchmarks", "pyattrx bench", "--force-reinstall pyattrx")
