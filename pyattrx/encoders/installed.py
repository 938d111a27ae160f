"""Names of modules that belong to the Python installation, and not to somebody's folder."""

from __future__ import annotations

import functools
import sys
import sysconfig
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import packages_distributions
from pathlib import Path

__all__ = ["installed_folder", "installed_module", "never_own", "same_file"]

# Imported before the first line of any script is run.
_STARTUP = {
    "__main__", "abc", "codecs", "encodings", "genericpath", "io", "ntpath", "os", "posixpath",
    "site", "stat", "zipimport", *sys.builtin_module_names,
}  # fmt: skip
# What networks are handed to: a second torch in one process would not know the first one's tensors.
_SHARED = {"pyattrx", "torch", "numpy", "scipy", "PIL", "safetensors"}


def never_own(name: str) -> bool:
    """Whether a top-level name means one and the same module, whoever imports it."""
    return name in _STARTUP or name in _SHARED


def installed_folder(folder: str) -> bool:
    """Whether a folder of ``sys.path`` holds the standard library or installed packages."""
    path = Path(folder)
    return path.name in ("site-packages", "dist-packages") or path in _standard()


def installed_module(name: str, found: ModuleSpec | None = None) -> bool:
    """Whether a top-level name is a module of the installation.

    Parameters
    ----------
    name : str
    found : ModuleSpec, optional
        What a folder has under that name: asks whether that is the installation's, then, as where a
        checkout is installed in place.
    """
    if found is None and name in sys.stdlib_module_names:
        return True
    spec = PathFinder.find_spec(name, _folders())
    installed = spec is not None and spec.origin is not None  # folders without __init__.py do not
    if found is None:
        return installed
    if spec is not None and installed and same_file(spec.origin, found.origin):
        return True
    known = getattr(sys.modules.get(name), "__spec__", None)
    return (
        known is not None
        and same_file(known.origin, found.origin)
        and name in packages_distributions()
    )


def same_file(one: str | Path | None, other: str | Path | None) -> bool:
    """Whether two paths lead to one file."""
    if one is None or other is None:
        return False
    return Path(one).resolve() == Path(other).resolve()


def _folders() -> Sequence[str]:
    return [folder for folder in sys.path if installed_folder(folder)]


@functools.cache
def _standard() -> set[Path]:
    paths = sysconfig.get_paths()
    standard = {Path(paths[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    return standard | {folder / "lib-dynload" for folder in standard}
