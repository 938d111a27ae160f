"""Accuracy on ImageNet, where somebody published it: what people go by who do not measure."""

from __future__ import annotations

import csv
import os
from functools import lru_cache
from pathlib import Path

from pyattrx.encoders.encoder import Encoder
from pyattrx.errors import InvalidValueError

__all__ = ["TABLE", "imagenet_top1"]

TABLE = "PYATTRX_IMAGENET"


def imagenet_top1(encoder: Encoder) -> float | None:
    """Share of ImageNet's validation images that a network names right, in percent.

    Parameters
    ----------
    encoder : Encoder

    Returns
    -------
    float or None
        What its loader knows (torchvision says it of its weights), or else what the table has of
        it: a CSV file with columns ``model`` and ``top1``, as timm publishes, whose path is the
        environment variable ``PYATTRX_IMAGENET``. Models are the names of timm, weights included
        (``resnet18.a1_in1k``), or names of encoders. None where neither says anything.

    Raises
    ------
    InvalidValueError
        The variable is set, and leads to no such table.

    Examples
    --------
    >>> import torch, pyattrx
    >>> from pyattrx.encoders.imagenet import imagenet_top1
    >>> imagenet_top1(pyattrx.Encoder(torch.nn.Identity(), name="mine")) is None
    True
    """
    path = os.environ.get(TABLE)
    table = _read(path, _stamp(path)) if path else {}
    if "imagenet_top1" in encoder.known:
        return float(encoder.known["imagenet_top1"])
    names = (encoder.known.get("model"), encoder.name)
    return next((table[name] for name in names if name in table), None)


def _stamp(path: str) -> int:
    if not Path(path).is_file():
        raise InvalidValueError(TABLE, path, "an existing CSV file")
    return Path(path).stat().st_mtime_ns


@lru_cache(maxsize=1)
def _read(path: str, _: int) -> dict[str, float]:
    """Read a table; of several rows of a model the first one counts."""
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"model", "top1"} <= set(rows.fieldnames or ()):
                raise InvalidValueError(TABLE, path, "a CSV file with columns model and top1")
            found: dict[str, float] = {}
            for row in rows:
                found.setdefault(row["model"], _percent(row["top1"], row["model"]))
            return found
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidValueError(TABLE, path, f"a CSV file ({error})") from error


def _percent(text: str, model: str) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = float("nan")
    if not 0 <= value <= 100:
        raise InvalidValueError(TABLE, f"top1 of {model!r}: {text!r}", "percent, from 0 to 100")
    return value
