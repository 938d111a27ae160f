"""Arguments, checked, and what makes a network the same as another."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from xxhash import xxh3_128_hexdigest

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.running import (
    Source,
    check_batch_size,
    check_compile,
    check_precision,
    check_sources,
    device_name,
    resolve_device,
    versions,
)

__all__ = [
    "BESIDE",
    "Run",
    "check_encoders",
    "check_name",
    "check_path",
    "check_tags",
    "check_wait",
    "encodable",
    "fingerprint",
    "maps_hash",
    "not_integer",
    "now",
]

_LONGEST_NAME = 1000

# Facts that do not make a network another one.
BESIDE = frozenset(("name", "specification", "versions", "parameters"))


class Run:
    """How networks are run, checked.

    Parameters
    ----------
    batch_size, device, precision, compile
        As for `pyattrx.affinity`.

    Attributes
    ----------
    any_device : bool
        Whether the device was left to us.
    """

    def __init__(self, batch_size: Any, device: Any, precision: Any, compile: Any = False) -> None:
        check_batch_size(batch_size)
        self.batch_size: int = batch_size
        self.device = resolve_device(device)
        self.any_device = device is None
        check_precision(precision, self.device)
        self.precision: str = precision
        check_compile(compile)
        self.compile: bool = compile

    def description_options(self) -> dict[str, Any]:
        """Options of a `Description`."""
        return {
            "batch_size": self.batch_size,
            "device": self.device,
            "precision": self.precision,
            "compile": self.compile,
        }

    def facts(self) -> dict[str, Any]:
        """What is to be remembered, as JSON types."""
        return {
            "batch_size": self.batch_size,
            "device": device_name(self.device),
            "precision": self.precision,
            "compile": self.compile,
            "threads": torch.get_num_threads(),
            "run_versions": versions(),
        }


def fingerprint(facts: Mapping[str, Any]) -> str:
    """Hash of what makes a network this one: weights, preprocessing, output."""
    kept = {key: value for key, value in facts.items() if key not in BESIDE}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def maps_hash(rows: Tensor) -> str:
    """Hash of given maps."""
    data = rows.cpu().contiguous().view(torch.uint8).numpy().data
    return xxh3_128_hexdigest(data)


def check_path(path: Any) -> Path:
    """Return the path of a folder."""
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise InvalidTypeError("path", path, "the path of a folder")
    text = os.fspath(path)
    if not text:
        raise InvalidValueError("path", path, "the path of a folder; '.' is the current one")
    if "\0" in text or not _file_name(text):
        raise InvalidValueError("path", path, "a path that a file system can hold")
    return Path(path)


def _file_name(text: str) -> bool:
    """Whether there can be a file of this name."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def check_wait(wait: Any) -> float:
    """Return seconds to wait for."""
    if isinstance(wait, bool):
        return math.inf if wait else 0.0
    if not isinstance(wait, (int, float)) or not wait >= 0:
        raise InvalidValueError("wait", wait, "True, False or a number of seconds")
    return float(wait)


def check_encoders(encoders: Any) -> list[Source]:
    """Return networks, which may be none, as a list."""
    none = isinstance(encoders, (list, tuple)) and not encoders
    return [] if none else list(check_sources(encoders))


def check_name(name: Any, argument: str = "name", what: str = "name") -> None:
    """Refuse what cannot be a name, or a tag."""
    if not isinstance(name, str):
        raise InvalidTypeError(argument, name, "a str")
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise InvalidValueError(argument, name, f"a {what} of 1 to {_LONGEST_NAME} characters")
    if not encodable(name):
        raise InvalidValueError(argument, name, f"a {what} that UTF-8 can hold")


def check_tags(tags: Any) -> tuple[str, ...]:
    """Return tags as a tuple."""
    given = (tags,) if isinstance(tags, str) else tags
    if not isinstance(given, (list, tuple, set, frozenset)):
        raise InvalidTypeError("tags", tags, "a string, or a list of them")
    for tag in given:
        check_name(tag, "tags", "tag")
    return tuple(given)


def encodable(text: str) -> bool:
    """Whether UTF-8 can hold a text; names of files that are no text have lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def not_integer(value: Any) -> bool:
    """Whether something is not an integer."""
    return isinstance(value, bool) or not isinstance(value, (int, np.integer))


def now() -> str:
    """Return the time, ISO 8601, UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
