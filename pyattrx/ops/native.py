"""The compiled module, or why it is missing."""

from __future__ import annotations

import importlib.util
from types import ModuleType

__all__ = ["core", "core_error"]

core: ModuleType | None = None
core_error: str | None = None
if importlib.util.find_spec("pyattrx._core") is None:
    core_error = (
        "not built: these are the sources; install them with pip, or with `make develop` to work "
        "in their folder"
    )
else:
    try:
        from pyattrx import _core as core  # type: ignore[attr-defined,no-redef,unused-ignore]
    except ImportError as error:  # built for something else: the reference takes over
        core_error = str(error)
