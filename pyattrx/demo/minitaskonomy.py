"""Twenty small networks for twenty tasks, and how well each really transfers to the others.

One set of the encoders of MiniTaskonomy (docs/minitaskonomy.md): a zoo whose right answers are
known. Each can be loaded by its name: ``pyattrx.load("pyattrx.demo.minitaskonomy:rgb2depth")``.
Weights of convolutions are in half precision. The files are written by
``python -m studies transfer --export``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pyattrx.demo.networks.mini_taskonomy import as_encoder, load_encoder
from pyattrx.encoders import Encoder
from pyattrx.errors import MissingDependencyError
from pyattrx.evaluate import Table, read_table
from pyattrx.probes import Probes

__all__ = ["FOLDER", "encoders", "probes", "specifications", "tasks", "transfers"]

FOLDER = Path(__file__).parent / "data" / "minitaskonomy"
_SIZE = 64


def tasks() -> list[str]:
    """Names of the tasks that there is a network for, in alphabetical order.

    Raises
    ------
    MissingDependencyError
        This installation has no weights.

    Examples
    --------
    >>> len(tasks())
    20
    """
    names = sorted(file.stem for file in FOLDER.glob("*.safetensors"))
    if not names:
        raise MissingDependencyError(
            "weights of MiniTaskonomy", __name__, "--force-reinstall pyattrx"
        )
    return names


def specifications() -> list[str]:
    """How the networks are loaded by `pyattrx.load`, or put into a zoo.

    Examples
    --------
    >>> specifications()[0]
    'pyattrx.demo.minitaskonomy:autoencoder'
    """
    return [f"{__name__}:{task}" for task in tasks()]


def encoders() -> list[Encoder]:
    """All networks, loaded.

    Examples
    --------
    >>> encoders()[0]  # doctest: +ELLIPSIS
    Encoder('autoencoder', ...)
    """
    return [_encoder(task) for task in tasks()]


def transfers() -> Table:
    """How well sources really transfer to targets.

    Returns
    -------
    Table
        18 targets and 20 sources; less the mean loss on held-out scenes of a small decoder, trained
        on the frozen source from 320 images; larger is better.

    Examples
    --------
    >>> transfers()
    Table(18 targets, 20 sources)
    """
    return read_table(FOLDER / "transfers.csv")


def probes() -> Probes:
    """Rendered scenes of 64 x 64 pixels that no network has seen.

    Examples
    --------
    >>> probes().size
    (64, 64)
    """
    with Image.open(FOLDER / "probes.png") as image:
        sheet = np.asarray(image.convert("RGB"))
    rows, columns = sheet.shape[0] // _SIZE, sheet.shape[1] // _SIZE
    tiles = sheet.reshape(rows, _SIZE, columns, _SIZE, 3).transpose(0, 2, 4, 1, 3)
    return Probes.from_tensor(torch.from_numpy(tiles.reshape(-1, 3, _SIZE, _SIZE).copy()))


def _encoder(task: str) -> Encoder:
    return as_encoder(load_encoder(FOLDER / f"{task}.safetensors", "residual"), task)


def __getattr__(name: str) -> Callable[[], Encoder]:
    """Return a function that loads the network of a task."""
    if not name.startswith("_") and (FOLDER / f"{name}.safetensors").is_file():
        return lambda: _encoder(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
