"""Results in one ``.npz`` file: arrays, and beside them a document of what else there is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pyattrx._files import atomic_write
from pyattrx.errors import InvalidValueError, PyattrxError

__all__ = ["saved", "write_saved"]

_META = "meta"


def write_saved(path: str | Path, meta: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Path:
    """Write a result; an existing file is replaced in one step.

    Parameters
    ----------
    path : str or Path
    meta : dict
        JSON types; its "format" is what `saved` expects.
    arrays : dict of str to ndarray

    Raises
    ------
    InvalidValueError
        The suffix is not ``.npz``.
    OSError
        The folder does not exist or cannot be written.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise InvalidValueError("path", str(path), "a file name that ends in .npz")
    # Any, since arrays by keyword stand beside an option that is a bool.
    everything: dict[str, Any] = {_META: np.array(json.dumps(meta)), **arrays}
    with atomic_write(path) as out:
        np.savez_compressed(out, **everything)
    return path


@contextmanager
def saved(
    path: str | Path, kind: str, form: str
) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Read what `write_saved` wrote; nothing in the file is executed.

    What goes wrong while the block makes something of it is an error of the file, too.

    Parameters
    ----------
    path : str or Path
    kind : str
        What errors call the result.
    form : str
        Its format.

    Yields
    ------
    meta : dict
    arrays : dict of str to ndarray

    Raises
    ------
    PyattrxError
        The file is damaged, or of another format.
    OSError
        The file cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from pyattrx._saved import saved, write_saved
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     meta = {"format": "sums 1", "name": "first"}
    ...     path = write_saved(f"{folder}/sums.npz", meta, {"sums": np.arange(3)})
    ...     with saved(path, "set of sums", "sums 1") as (found, arrays):
    ...         print(found["name"], arrays["sums"])
    first [0 1 2]
    """
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as data:
                meta = json.loads(str(data[_META]))
                if meta["format"] != form:
                    raise ValueError(f"format {meta['format']!r}, expected {form!r}")
                arrays = {name: data[name] for name in data.files if name != _META}
            yield meta, arrays
        except Exception as error:  # damaged archives fail in many ways
            raise PyattrxError(
                f"{path}: not a saved {kind}, or damaged ({type(error).__name__}: {error})"
            ) from error
