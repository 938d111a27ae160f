"""How the modules of one folder are found, loaded and named."""

from __future__ import annotations

import ast
import hashlib
import marshal
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.abc import Loader
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)
from types import CodeType, ModuleType
from typing import Any, Protocol

from pyattrx.encoders.installed import same_file

__all__ = ["Given", "Owner", "Source", "find", "plain_name"]

_MOST_CODES = 1000
_ROOT = re.compile(r"\bpyattrx_[0-9a-f]{12}_\d+\.")


def plain_name(text: str) -> str:
    """Write names of modules as the files that import them do."""
    return _ROOT.sub("", text)


@dataclass(frozen=True)
class _Compiled:
    """What was compiled of a source, and what it imports inside functions: nobody's own module."""

    data: bytes
    tops: frozenset[str]

    def code(self) -> CodeType:
        """Make code objects anew: torch.compile takes one object for one function."""
        made: CodeType = marshal.loads(self.data)
        return made


_codes: dict[tuple[str, bytes], _Compiled] = {}


class Owner(Protocol):
    """What modules belong to. They refer to it, so that it lives as long as they do."""

    name: str
    builtins: dict[str, Any]

    def owns(self, top: str) -> bool:
        """Whether a top-level name, imported in the folder, means a module of the folder."""


def find(owner: Owner, name: str, folders: Sequence[str]) -> ModuleSpec | None:
    """Find a module in folders as they are now: what Python remembers of a folder may be old.

    Parameters
    ----------
    owner : Owner
    name : str
        Its last part is looked for.
    folders : sequence of str
        A folder without ``__init__.py`` gives way to a module in a later one.

    Returns
    -------
    ModuleSpec or None
    """
    loaders: list[tuple[Any, list[str]]] = [
        (_Extension, EXTENSION_SUFFIXES),
        (partial(Source, owner), SOURCE_SUFFIXES),
        (partial(_Bytecode, owner), BYTECODE_SUFFIXES),
    ]
    portions: list[str] = []
    for folder in folders:
        spec = FileFinder(folder, *loaders).find_spec(name)
        if spec is None:
            continue
        if spec.loader is not None:
            return spec
        portions += spec.submodule_search_locations or []
    if not portions:
        return None
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = portions
    return spec


class Source(SourceFileLoader):
    """Compiles what the file says now, and writes nothing beside it."""

    def __init__(self, owner: Owner, name: str, path: str) -> None:
        super().__init__(name, path)
        self._owner = owner

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source, or take what was compiled of the same before."""
        path = self.get_filename(fullname)
        data = self.get_data(path)
        key = path, hashlib.sha256(data).digest()
        known = _codes.get(key)
        if known is not None and not any(map(self._owner.owns, known.tops)):
            return known.code()
        inside = _Inside(self._owner)
        tree = inside.visit(ast.parse(data, path))
        if inside.changed:
            tree = ast.fix_missing_locations(tree)
        code: CodeType = self.source_to_code(tree, path)
        if not inside.changed:  # else it holds names of this load
            _codes[key] = _Compiled(marshal.dumps(code), frozenset(inside.tops))
            if len(_codes) > _MOST_CODES:
                _codes.pop(next(iter(_codes)))
        return code

    def exec_module(self, module: ModuleType) -> None:
        """Execute it, with its owner's way to import."""
        vars(module)["__builtins__"] = self._owner.builtins
        super().exec_module(module)


class _Inside(ast.NodeTransformer):
    """Writes out which modules are imported inside functions.

    torch.compile imports for itself what it meets in a function, by the name that is written there.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._depth = 0
        self.tops: set[str] = set()
        self.changed = False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Go in."""
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
        return node

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]  # noqa: N815

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        """``from a.b import c``."""
        if node.module and not node.level and self._means_own(node.module):
            node.module = f"{self._owner.name}.{node.module}"
        return node

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        """``import a, b.c, d.e as f``."""
        made: list[ast.stmt] = []
        for alias in node.names:
            top, dot, _ = alias.name.partition(".")
            if not self._means_own(alias.name):
                made.append(ast.Import([alias]))
                continue
            own = f"{self._owner.name}.{alias.name}"
            if dot or alias.asname:
                made.append(ast.Import([ast.alias(own, alias.asname or top)]))
            if not alias.asname:  # what is bound is the first of a dotted name
                made.append(ast.ImportFrom(self._owner.name, [ast.alias(top)], 0))
        return [ast.copy_location(statement, node) for statement in made]

    def _means_own(self, name: str) -> bool:
        if not self._depth:
            return False
        top = name.partition(".")[0]
        self.tops.add(top)
        own = self._owner.owns(top)
        self.changed |= own
        return own


class _Bytecode(SourcelessFileLoader):
    def __init__(self, owner: Owner, name: str, path: str) -> None:
        super().__init__(name, path)
        self._owner = owner

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self._owner.builtins
        super().exec_module(module)


class Given(Loader):
    """Gives a module another name in ``sys.modules``."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Leave it as it was."""
        module.__spec__ = self._spec


class _Extension(ExtensionFileLoader):
    """Loads a compiled module once a process, as its types can be registered only once."""

    _loaded: dict[str, ModuleType] = {}  # noqa: RUF012 (shared by all)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        tail = spec.name.rpartition(".")[2]
        for made in (self._loaded.get(self.path), sys.modules.get(tail)):
            origin = getattr(getattr(made, "__spec__", None), "origin", None)
            if made is not None and same_file(origin, self.path):
                self._before = made.__spec__
                return made
        self._before = None
        made = super().create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        if self._before is not None:
            module.__spec__ = self._before
            return
        super().exec_module(module)
        self._loaded[self.path] = module
