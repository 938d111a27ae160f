"""Puts one set of encoders and its transfers into the package, as its demo zoo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import load_file, save

from pyattrx import evaluate
from pyattrx._files import atomic_write
from pyattrx.demo.networks.mini_taskonomy import load_encoder

from ..minitaskonomy.data import Data, to_tensor
from ..minitaskonomy.presets import Preset
from ..minitaskonomy.tasks import TARGETS, TASKS
from ..minitaskonomy.train import encoder_file, evaluate_in_parts
from .truth import Truth

__all__ = ["Shipped", "ship"]

_PROBES = 64
_ACROSS = 8


@dataclass(frozen=True)
class Shipped:
    """What was put where.

    Attributes
    ----------
    files : list of Path
    bytes : int
        Of all files together.
    differences : dict of str to float
        For every network, how far half precision moves its output: the largest difference on the
        probes, over the largest output.
    """

    files: list[Path]
    bytes: int
    differences: dict[str, float]


def ship(folder: Path, preset: Preset, seed: int, truth: Truth, into: Path) -> Shipped:
    """Write weights in half precision, the transfers, and probes.

    Parameters
    ----------
    folder : Path
        Of `minitaskonomy`.
    preset : Preset
        Of its data.
    seed : int
        Of the encoders.
    truth : Truth
        Their transfers.
    into : Path
        Made if missing: ``TASK.safetensors``, ``transfers.csv`` and ``probes.png``.

    Returns
    -------
    Shipped
    """
    into.mkdir(parents=True, exist_ok=True)
    scenes = np.asarray(Data(folder, preset).images("probes"))[:_PROBES]
    images = to_tensor(scenes)
    files, differences = [], {}
    for name in TASKS:
        source = encoder_file(folder, "residual", seed, name)
        # Vectors are few, and running variances may be too small for half precision.
        weights = {
            key: value.half() if value.ndim == 4 and key != "colors" else value
            for key, value in load_file(source).items()
        }
        file = into / f"{name}.safetensors"
        with atomic_write(file) as out:
            out.write(save(weights))
        files.append(file)
        whole, half = (
            evaluate_in_parts(load_encoder(path, "residual"), images) for path in (source, file)
        )
        differences[name] = float((whole - half).abs().max() / whole.abs().max())
    files.append(
        evaluate.write_table(truth.select(TARGETS, tuple(TASKS)).table, into / "transfers.csv")
    )
    files.append(_write_sheet(scenes, into / "probes.png"))
    return Shipped(files, sum(file.stat().st_size for file in files), differences)


def _write_sheet(scenes: np.ndarray, file: Path) -> Path:
    """Write images [N, H, W, 3], uint8, as tiles of one, row by row."""
    count, height, width, _ = scenes.shape
    across = min(_ACROSS, count)
    whole = scenes[: count // across * across]
    tiles = whole.reshape(-1, across, height, width, 3).transpose(0, 2, 1, 3, 4)
    with atomic_write(file) as out:
        Image.fromarray(tiles.reshape(-1, across * width, 3)).save(out, "PNG", optimize=True)
    return file
