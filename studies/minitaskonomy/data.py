"""The data set in a folder: images and labels as .npy files, made in chunks that survive.

``scenes/images.npy`` and ``scenes/<label>.npy`` have one row a scene; ``scenes/complete.json``,
written last, has their SHA-256 and the preset. Until then ``scenes/chunks`` holds what is done.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyattrx._files import atomic_write
from pyattrx.errors import PyattrxError

from .jobs import Job, Say, run_jobs
from .labels import LABELS, make_labels
from .presets import FULL, Preset
from .render import view
from .tasks import Task

__all__ = ["IMAGE_SIZE", "Data", "DataError", "prepare", "render_chunks"]

IMAGE_SIZE = 64
_CHUNK = 50
_FORMAT = 1  # another number for anything that changes what the scenes or labels are


class DataError(PyattrxError):
    """A folder has no complete data set, or another one than was asked for."""


class Data:
    """A complete data set, read as it is needed.

    Parameters
    ----------
    folder : Path
        What `prepare` was given.
    preset : Preset
        What it was made for.
    verify : bool
        Whether to read everything and compare checksums.

    Raises
    ------
    DataError
        It is not complete, not of this preset, or damaged.
    """

    def __init__(self, folder: Path, preset: Preset = FULL, verify: bool = False) -> None:
        self.folder = folder / "scenes"
        self.preset = preset
        marker = self.folder / "complete.json"
        if not marker.is_file():
            raise DataError(f"{self.folder} has no complete data set: run the render step first")
        found = json.loads(marker.read_text())
        if found["made"] != _identity(preset):
            raise DataError(
                f"{self.folder} was made for {found['made']}; expected {_identity(preset)}"
            )
        if verify:
            for name, checksum in found["sha256"].items():
                if _checksum(self.folder / name) != checksum:
                    raise DataError(f"{self.folder / name} is not what was written")

    def images(self, split: str) -> NDArray[np.uint8]:
        """Return the images of a split, [N, 64, 64, 3], mapped from the file."""
        return self._rows("images", split)

    def labels(self, task: Task, split: str) -> Tensor:
        """Return the unscaled labels of a split: [N, ...], classes as int64."""
        if task.from_image is not None:
            stored = self.images(split)
            parts = [task.from_image(to_tensor(stored[i : i + 500])) for i in _starts(stored, 500)]
            return torch.cat(parts)
        labels = torch.from_numpy(np.array(self._rows(task.name, split)))
        return labels if labels.is_floating_point() else labels.long()

    def _rows(self, name: str, split: str) -> NDArray[np.uint8]:
        values: NDArray[np.uint8] = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        return values[self.preset.split(split)]


def to_tensor(stored: NDArray[np.uint8]) -> Tensor:
    """Turn stored images, [N, 64, 64, 3], into float32 [N, 3, 64, 64] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(stored.transpose(0, 3, 1, 2))).float() / 255


def prepare(folder: Path, preset: Preset, processes: int, say: Say) -> Data:
    """Make a data set, or go on where it was left, or find it complete.

    Parameters
    ----------
    folder : Path
        Where to; made if missing.
    preset : Preset
        How many scenes, and of which seed.
    processes : int
        How many at a time; the files are the same for any number.
    say : callable
        Is told what is done.

    Returns
    -------
    Data
        Complete.

    Raises
    ------
    DataError
        The folder has a data set of another preset.
    """
    scenes = folder / "scenes"
    if (scenes / "complete.json").is_file():
        return Data(folder, preset)
    chunks = scenes / "chunks"
    chunks.mkdir(parents=True, exist_ok=True)
    begun = scenes / "begun.json"
    if begun.is_file() and json.loads(begun.read_text()) != _identity(preset):
        raise DataError(f"{scenes} was begun for another preset: {begun.read_text()}")
    begun.write_text(json.dumps(_identity(preset)))
    missing = [i for i in range(-(-preset.scenes // _CHUNK)) if not _chunk(chunks, i).is_file()]
    parts = max(1, min(len(missing), 10 * processes))
    jobs = [
        Job(f"scenes, part {part + 1} of {parts}", render_chunks, (scenes, preset, some))
        for part in range(parts)
        if (some := missing[part::parts])
    ]
    run_jobs(jobs, processes, say)
    _assemble(scenes, preset)
    return Data(folder, preset)


def render_chunks(scenes: Path, preset: Preset, numbers: list[int]) -> str:
    """Render some chunks, each into a file of its own."""
    for number in numbers:
        rows: dict[str, list[NDArray[np.generic]]] = {name: [] for name in ("images", *LABELS)}
        for index in range(number * _CHUNK, min((number + 1) * _CHUNK, preset.scenes)):
            scene, frame = view(preset.seed, index)
            rows["images"].append(frame.image)
            for name, label in make_labels(scene, frame).items():
                rows[name].append(label)
        stacked = {name: np.stack(values) for name, values in rows.items()}
        with atomic_write(_chunk(scenes / "chunks", number)) as file:
            np.savez(file, allow_pickle=False, **stacked)
    return f"{len(numbers)} x {_CHUNK} scenes"


def _assemble(scenes: Path, preset: Preset) -> None:
    count = -(-preset.scenes // _CHUNK)
    checksums = {}
    for name in ("images", *LABELS):
        with atomic_write(scenes / f"{name}.npy") as file:
            parts = []
            for number in range(count):
                with np.load(_chunk(scenes / "chunks", number)) as chunk:
                    parts.append(chunk[name])
            np.save(file, np.concatenate(parts), allow_pickle=False)
        checksums[f"{name}.npy"] = _checksum(scenes / f"{name}.npy")
    with atomic_write(scenes / "complete.json") as file:
        text = json.dumps({"made": _identity(preset), "sha256": checksums}, indent=2)
        file.write(text.encode())
    shutil.rmtree(scenes / "chunks")
    (scenes / "begun.json").unlink()


def _identity(preset: Preset) -> dict[str, int]:
    sizes = asdict(preset)
    splits = {name: sizes[name] for name in ("train", "transfer", "test", "probes", "seed")}
    return {"format": _FORMAT, **splits}


def _chunk(chunks: Path, number: int) -> Path:
    return chunks / f"{number:05d}.npz"


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _starts(stored: NDArray[np.uint8], size: int) -> Iterator[int]:
    return iter(range(0, len(stored), size))
