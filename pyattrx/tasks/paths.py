"""Photos that lie in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyattrx.errors import InvalidValueError, ProbeError
from pyattrx.photos import Cuts, Decoded, Unreadable, open_photo
from pyattrx.probes import Skipped
from pyattrx.tasks.gathering import Sizes

__all__ = ["check_on_error", "file_reader"]


def check_on_error(on_error: Any) -> bool:
    """Return whether images that cannot be read are skipped."""
    if on_error not in ("raise", "skip"):
        raise InvalidValueError("on_error", on_error, "'raise' or 'skip'")
    return bool(on_error == "skip")


def file_reader(
    names: list[str], folder: Path, cuts: Cuts, sizes: Sizes, *, skip: bool
) -> Callable[[int], Decoded | Skipped]:
    """Return a function that reads the photo of a number; paths are relative to the folder."""

    def read(index: int) -> Decoded | Skipped:
        name = names[index]
        try:
            photo = open_photo(folder / name)
        except Unreadable as error:
            if skip:
                return Skipped(name, str(error))
            raise ProbeError(
                f"{folder / name}: {error}; on_error='skip' (--skip-bad) leaves out what cannot be "
                "read"
            ) from error
        sizes.see(photo.width, photo.height)
        return cuts.apply(photo, name)

    return read
