"""What is kept of a run, in a folder small enough to commit: half the bits, and tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from pyattrx._files import atomic_write

from .train import encoder_file, run_folder
from .transfer import transfer_folder

__all__ = ["export", "training_table"]

_COLUMNS = (
    "task", "seed", "loss_name", "loss", "trivial", "settled", "iterations", "train_images",
)  # fmt: skip


def training_table(folder: Path, architecture: str, seed: int) -> list[dict[str, object]]:
    """Read what became of the encoders of an architecture and seed.

    Parameters
    ----------
    folder : Path
        Of the run.
    architecture, seed
        Of the encoders.

    Returns
    -------
    list of dict
        One for each trained encoder, by name: ``task``, ``seed``, ``loss_name``, ``loss`` and
        ``trivial`` (of the best constant prediction) on test scenes, ``settled``, ``iterations``,
        ``train_images``.
    """
    files = sorted(run_folder(folder, architecture, seed).glob("*.json"))
    reports = [json.loads(file.read_text()) for file in files]
    return [{column: report[column] for column in _COLUMNS} for report in reports]


def export(
    folder: Path, into: Path, architecture: str, seed: int, sources: Sequence[str]
) -> list[Path]:
    """Copy what is worth keeping; files that are there are written anew.

    Parameters
    ----------
    folder : Path
        Of the run.
    into : Path
        Made if missing.
    architecture, seed
        Of the encoders.
    sources : sequence of str
        Encoders to copy; their weight matrices in half precision, vectors as they are.

    Returns
    -------
    list of Path
        What was written, all beneath ``ARCHITECTURE-seedSEED``: ``encoders/NAME.safetensors``,
        ``encoders.csv`` (see `training_table`), and ``transfers.csv`` and ``transfers.npz`` where
        they have been gathered.
    """
    into = into / f"{architecture}-seed{seed}"
    (into / "encoders").mkdir(parents=True, exist_ok=True)
    written = []
    for name in sources:
        weights = load_file(encoder_file(folder, architecture, seed, name))
        halved = {
            # Running variances may be too small for half precision; they are few.
            key: value.to(torch.float16) if value.ndim >= 2 and "colors" not in key else value
            for key, value in weights.items()
        }
        file = into / "encoders" / f"{name}.safetensors"
        with atomic_write(file) as out:
            out.write(save(halved))
        written.append(file)
    rows = [",".join(_COLUMNS)]
    for report in training_table(folder, architecture, seed):
        values = (report[column] for column in _COLUMNS)
        rows.append(",".join(f"{v:.6f}" if isinstance(v, float) else str(v) for v in values))
    table = into / "encoders.csv"
    with atomic_write(table) as out:
        out.write(("\n".join(rows) + "\n").encode())
    written.append(table)
    for suffix in ("csv", "npz"):
        source = transfer_folder(folder, architecture, seed) / f"losses.{suffix}"
        if source.is_file():
            shutil.copyfile(source, into / f"transfers.{suffix}")
            written.append(into / f"transfers.{suffix}")
    return written
