"""The compiled module, or why it is missing."""

from __future__ import annotations

from types import ModuleType

__all__ = ["core", "core_error"]

core: ModuleType | None
core_error: str | None = None
try:
    from pyattrx import _core as core  # type: ignore[attr-defined,no-redef,unused-ignore]
except ImportError as error:  # a source tree that was not built: the reference takes over
    core = None
    core_error = str(error)
