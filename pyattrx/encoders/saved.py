"""Networks in a safetensors file that says what they are: tensors, and text beside them.

The package that writes such files registers how they are read. Nothing in a file is executed, and
only packages that are named here are imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from pyattrx.encoders.encoder import Encoder
from pyattrx.errors import EncoderError, InvalidValueError

__all__ = ["SUFFIX", "from_saved", "register"]

Reader = Callable[[Path, Mapping[str, str]], Encoder]

SUFFIX = ".safetensors"
_READERS: dict[str, Reader] = {}
# Ours are read by a package that nobody may have imported yet.
_HOMES = {"pyattrx-fitted-1": "pyattrx.fitting"}


def register(form: str, reader: Reader) -> None:
    """Say how files are read whose metadata has this ``format``.

    Parameters
    ----------
    form : str
    reader : callable
        From the path and the metadata, str to str, to an `Encoder`.
    """
    _READERS[form] = reader


def from_saved(path: str) -> Encoder:
    """Load a network from its file; see `pyattrx.load`.

    Raises
    ------
    InvalidValueError
        There is no such file.
    EncoderError
        It is damaged, or holds weights alone.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise InvalidValueError("specification", path, f"an existing {SUFFIX} file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise EncoderError(f"{path}: not a safetensors file, or damaged ({error})") from error
    form = metadata.get("format")
    if form in _HOMES:
        import_module(_HOMES[form])
    if form not in _READERS:
        raise EncoderError(
            f"{path}: holds weights alone, and not which network they belong to; say that as "
            f"package.module:factory?weights={path}"
        )
    return _READERS[form](Path(path), metadata)
