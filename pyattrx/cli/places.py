"""Files and folders that a command is given, checked before anything runs.

One that should be there and is not is a wrong argument; one that is there and cannot be read has
failed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pyattrx import report
from pyattrx.encoders import Parts, network_file
from pyattrx.errors import InvalidValueError

__all__ = [
    "check_picture",
    "check_save",
    "check_specifications",
    "check_there",
    "make_pictures_folder",
]


def check_specifications(specifications: Iterable[str]) -> None:
    """Refuse specifications of single networks whose files are not there.

    Raises
    ------
    InvalidValueError
    """
    for given in specifications:
        parts = Parts.of(given)
        place = parts.target.rpartition(":")[0]
        network = network_file(parts.target) or (place if place.endswith(".py") else "")
        for file in filter(None, (network, parts.weights)):
            if not Path(file).is_file():
                raise InvalidValueError("SPEC", given, f"an existing file; there is no {file}")


def check_there(option: str, place: Path | None, expected: str) -> None:
    """Refuse a file or folder to read that is not there.

    Raises
    ------
    InvalidValueError
    """
    if place is not None and not place.exists():
        raise InvalidValueError(option, str(place), f"an existing {expected}")


def check_save(file: Path | None, suffix: str = ".npz") -> None:
    """Refuse a file to write that has another suffix, or no folder.

    Raises
    ------
    InvalidValueError
    """
    if file is None:
        return
    if file.suffix != suffix:
        raise InvalidValueError("save", str(file), f"a file name that ends in {suffix}")
    if not file.parent.is_dir():
        raise InvalidValueError("save", str(file), "a file in an existing folder")


def check_picture(option: str, file: Path | None) -> None:
    """Refuse a picture to write that has another suffix, or no folder, or nothing to draw it.

    Raises
    ------
    InvalidValueError, MissingDependencyError
    """
    if file is None:
        return
    if file.suffix.lower() not in (".png", ".svg"):
        raise InvalidValueError(option, str(file), "a file name that ends in .png or .svg")
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise InvalidValueError(option, str(file), "a file in an existing folder")
    report.require_matplotlib()


def make_pictures_folder(option: str, folder: Path | None) -> None:
    """Make the folder of pictures, if there is to be one and Matplotlib can draw them.

    Raises
    ------
    InvalidValueError
        It cannot be made.
    MissingDependencyError
        Matplotlib is not installed.
    """
    if folder is None:
        return
    report.require_matplotlib()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValueError(option, str(folder), f"a folder to write to: {error}") from None
