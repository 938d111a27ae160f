"""The folder of a new zoo: whole or not at all, wherever an empty folder can be.

All is written to a folder of its own inside the new one, and moved up when it is complete, the file
that makes it a zoo last. So it does not matter whether the folder is the current one, a mount
point, reached by a link, or in one that nobody may write to. The folder is locked meanwhile: what a
creator that was killed has left behind is recognised by that, and by its names, and removed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyattrx._files import sync_folder
from pyattrx.errors import InvalidValueError, ZooError, ZooLockedError

__all__ = ["make_folder"]

_UNFINISHED = re.compile(r"\.zoo-[0-9a-f]{16}\.new")
_MOVING = "moving.json"  # what is moved up from an unfinished zoo, and which files those are


def make_folder(folder: Path, fill: Callable[[Path], None], last: str) -> None:
    """Fill a new or empty folder.

    Parameters
    ----------
    folder : Path
    fill : callable
        Writes files, durably, and empty folders into the folder that it is given.
    last : str
        The file that says that all is there.

    Raises
    ------
    InvalidValueError
        The folder has something in it, or there is none that it could be in.
    ZooLockedError
        Another process is doing the same.
    ZooError
        It cannot be written; what was there before is all that is there.
    """
    try:
        made = _made(folder)
        try:
            with _locked(folder):
                _check_empty(folder, last)
                _fill(folder, fill, last)
        except ZooLockedError:
            raise
        except BaseException:
            if made:
                with suppress(OSError):
                    folder.rmdir()
            raise
        if made:
            sync_folder(folder.absolute().parent)
    except sqlite3.Error as error:
        raise ZooError(f"{folder}: cannot be made: {error}") from error
    except OSError as error:
        raise ZooError(f"{folder}: cannot be made: {error.strerror or error}") from error


def _made(folder: Path) -> bool:
    """Make the folder if there is none; say whether that was so."""
    try:
        folder.mkdir()
    except FileExistsError:
        if folder.is_dir():
            return False
        there = "a link to nothing" if folder.is_symlink() else "something else"
        expected = f"a new or empty folder; there is {there} already"
    except (FileNotFoundError, NotADirectoryError):
        expected = "a new folder in one that exists"
    else:
        return True
    raise InvalidValueError("path", str(folder), expected) from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"{folder}: another process is making a zoo here, or writing to one"
            raise ZooLockedError(message) from None
        yield
    finally:
        os.close(file)


def _check_empty(folder: Path, last: str) -> None:
    """Remove what unfinished zoos have left; refuse a folder that has anything else in it."""
    there = {path.name: path for path in folder.iterdir()}
    if os.path.ismount(folder):
        there.pop("lost+found", None)  # of the file system; a new one has it
    unfinished = [path for name, path in there.items() if _is_unfinished(name, path)]
    others = set(there) - {path.name for path in unfinished}
    left = {name for path in unfinished for name in _moved_from(path, folder)}
    if others - left or last in others:
        what = "a zoo" if last in others else "something else"
        expected = f"a new or empty folder; there is {what} already"
        raise InvalidValueError("path", str(folder), expected)
    for name in left:
        _remove(folder / name)
    for path in unfinished:  # later than what they say is theirs
        shutil.rmtree(path)


def _is_unfinished(name: str, path: Path) -> bool:
    return bool(_UNFINISHED.fullmatch(name)) and path.is_dir() and not path.is_symlink()


def _moved_from(unfinished: Path, folder: Path) -> list[str]:
    """Names of what was moved up from an unfinished zoo, if that is what is still there."""
    try:
        moving = json.loads((unfinished / _MOVING).read_bytes())
        return [name for name, which in moving.items() if _which(folder / name) == which]
    except (OSError, ValueError, AttributeError):
        return []


def _which(path: Path) -> list[int] | None:
    """What tells a file from others of its name; the same after it was moved."""
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return None
    return [facts.st_ino, facts.st_mode, facts.st_mtime_ns]


def _remove(path: Path) -> None:
    if path.is_dir():
        path.rmdir()  # which it only does to an empty one
    else:
        path.unlink()


def _fill(folder: Path, fill: Callable[[Path], None], last: str) -> None:
    new = folder / f".zoo-{secrets.token_hex(8)}.new"
    moved: list[Path] = []
    try:
        new.mkdir()
        fill(new)
        names = sorted((path.name for path in new.iterdir()), key=lambda name: (name == last, name))
        moving = {name: _which(new / name) for name in names if name != last}
        (new / _MOVING).write_text(json.dumps(moving))
        sync_folder(new)
        for name in names:
            if name == last:
                sync_folder(folder)
            os.rename(new / name, folder / name)
            moved.append(folder / name)
        sync_folder(folder)
    except BaseException:
        for path in reversed(moved):
            with suppress(OSError):
                _remove(path)
        shutil.rmtree(new, ignore_errors=True)
        raise
    shutil.rmtree(new, ignore_errors=True)
