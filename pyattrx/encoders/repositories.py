"""Python files that are loaded by their path, and what they import from their own folder.

Two repositories may each have a ``utils.py``, and ``sys.modules`` has room for one. So a file and
its neighbours are imported under names that nothing else has, ``pyattrx_<digest>_<count>.utils``:
the first part stands for the folder, and for one load of one file. Each load executes everything
anew, so that no network depends on what was loaded before it.

The files import one another by the names they are written with. Each has an ``__import__`` of its
own that looks in the folder first, as when a script is run there, for as long as a function in it
lives: it may import when it is called. ``importlib.import_module`` and unpickling do not know who
asks. For them the folder has its plain names while the file is executed and its factory called,
and at no other time.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import itertools
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from weakref import WeakValueDictionary

from pyattrx.encoders.installed import (
    installed_folder,
    installed_module,
    never_own,
    same_file,
)
from pyattrx.encoders.own_modules import Given, Source, find

__all__ = ["Repository"]

_KEPT = 8  # loads of one file whose modules stay in sys.modules


class Repository:
    """A file, and the modules of its folder that one load of it has made.

    Parameters
    ----------
    file : Path
        An existing Python file.
    """

    def __init__(self, file: Path) -> None:
        self.file = file.absolute()
        digest = hashlib.sha256(bytes(file.resolve())).hexdigest()[:12]
        self.name = f"pyattrx_{digest}_{next(_counts)}"
        self.builtins = {**vars(builtins), "__import__": self._import}
        self._folder = str(file.resolve().parent)
        # Where modules of its own are: before those of the installation, after them, and both.
        self._first: list[str] = []
        self._last: list[str] = []
        self._folders = [self._folder]
        self._owned: dict[str, bool] = {}
        self._path: list[str] | None = None  # sys.path as it was, while the file is loaded
        self._hidden: dict[str, ModuleType] = {}
        self._plain: set[str] = set()
        self._retired: dict[str, ModuleType] = {}
        _repositories[self.name] = self

    @property
    def loaded_before(self) -> bool:
        """Whether the file was loaded before in this process."""
        return self.file in _kept

    @contextmanager
    def loaded(self) -> Iterator[Callable[[], ModuleType]]:
        """Make the folder's plain names importable for as long as the context lasts.

        Yields
        ------
        callable
            Executes the file and returns the module. An error in the context leaves nothing in
            ``sys.modules``.
        """
        with _lock:
            if _names not in sys.meta_path:
                sys.meta_path.insert(0, _names)
            before, self._path = sys.path[:], sys.path[:]
            sys.path.insert(0, self._folder)
            sys.meta_path.insert(0, self)
            try:
                for top in _tops(sys.modules) & _tops(os.listdir(self._folder)):
                    self.owns(top)
                yield self._execute
                self._look_at_path()
                _keep(self)
            except BaseException:
                self.retire()
                raise
            finally:
                self._path = None
                sys.meta_path.remove(self)
                sys.path[:] = before
                for name in _below(self._plain):
                    del sys.modules[name]
                sys.modules.update(self._hidden)
                self._hidden.clear()

    def _execute(self) -> ModuleType:
        root = ModuleType(self.name)
        root.__spec__ = ModuleSpec(self.name, None, is_package=True)
        root.__path__ = root.__spec__.submodule_search_locations = self._folders
        sys.modules[self.name] = root
        stem = self.file.stem.replace(".", "-")  # a dot would make it a package's
        beside = find(self, f"{self.name}.{stem}", [self._folder])
        if beside is not None and not same_file(beside.origin, self.file):
            stem += "-file"  # beside net.py, `import net` may mean a package of that name
        name = f"{self.name}.{stem}"
        spec = spec_from_file_location(name, self.file, loader=Source(self, name, str(self.file)))
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def retire(self) -> None:
        """Take the modules out of ``sys.modules``; their functions still import one another."""
        for name in _below({self.name}):
            self._retired[name] = sys.modules.pop(name)

    def find_own(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """Find one of the modules by the name that nothing else has."""
        if self._retired:
            sys.modules.update(self._retired)
            self._retired.clear()
            _keep(self)
        if name in sys.modules:
            return ModuleSpec(name, Given(sys.modules[name]))
        return find(self, name, path or ())

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module by its plain name, for whoever asks while the file is loaded."""
        top = name.partition(".")[0]
        if not self.owns(top):
            return None
        if top not in self._plain:  # others' imports must not end in the folder
            others = [p for p in sys.path if p not in (*self._first, *self._last)]
            return PathFinder.find_spec(name, others if path is None else path)
        try:
            own = importlib.import_module(f"{self.name}.{name}")
        except ModuleNotFoundError as error:
            if error.name == f"{self.name}.{name}":
                return None
            raise
        return ModuleSpec(name, Given(own), is_package=hasattr(own, "__path__"))

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or not self.owns(top):
            return builtins.__import__(name, globals, locals, fromlist, level)
        made = builtins.__import__(f"{self.name}.{name}", globals, locals, fromlist)
        if self._path is not None and top in self._plain:
            importlib.import_module(name)  # whoever imports from C looks it up there
        return made if fromlist else sys.modules[f"{self.name}.{top}"]

    def owns(self, top: str) -> bool:
        """Whether a top-level name, imported in the folder, means a module of the folder."""
        self._look_at_path()
        if top == self.name:
            return False
        if top not in self._owned:
            self._owned[top] = self._finds(top)
        owned = self._owned[top]
        loading = self._path is not None
        if loading and owned and top not in self._plain and not installed_module(top):
            self._plain.add(top)
            self._hidden.update({name: sys.modules.pop(name) for name in _below({top})})
        return owned

    def _finds(self, top: str) -> bool:
        if never_own(top):
            return False
        spec = find(self, top, self._first)
        if spec is not None and spec.loader is not None:
            return not installed_module(top, spec)
        spec = spec or find(self, top, self._last)
        return spec is not None and not installed_module(top)

    def _look_at_path(self) -> None:
        """See which folders the file has added to ``sys.path``: they are its own, too."""
        if self._path is None:
            return
        first: list[str] = []
        last: list[str] = []
        into = first
        for folder in sys.path:
            if installed_folder(folder):
                into = last
            elif folder == self._folder or folder not in self._path:
                into.append(folder)
        if (first, last) != (self._first, self._last):
            self._first, self._last = first, last
            self._folders[1:] = [p for p in (*first, *last) if p != self._folder]
            self._owned.clear()


class _Names:
    """Finds the modules of repositories by the names that nothing else has."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        repository = _repositories.get(name.partition(".")[0])
        return None if repository is None else repository.find_own(name, path)


def _tops(names: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def _below(tops: set[str]) -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] in tops]


def _keep(repository: Repository) -> None:
    kept = _kept.setdefault(repository.file, deque())
    if repository not in kept:
        kept.append(repository)
    if len(kept) > _KEPT:
        kept.popleft().retire()


_lock = threading.RLock()
_counts = itertools.count()
_names = _Names()
_repositories: WeakValueDictionary[str, Repository] = WeakValueDictionary()
_kept: dict[Path, deque[Repository]] = {}
