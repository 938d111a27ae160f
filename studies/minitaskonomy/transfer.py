"""Real transfers: a small decoder on a frozen encoder's codes, for every source and target.

The decoder learns from a few hundred images, once per disjoint subset; what counts is its loss on
each test image. Codes are scaled per channel to zero mean and unit variance over the transfer
images first, so that no source is at a disadvantage for the size of its numbers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyattrx._files import atomic_write
from pyattrx.errors import InvalidValueError

from .data import Data, to_tensor
from .networks import channels_last, make_decoder
from .presets import Preset
from .tasks import TASKS, Scale, Task, find_task
from .train import encoder_file, evaluate_in_parts, load_encoder, stream_seed

__all__ = ["cache_codes", "is_measured", "summarize", "transfer", "transfer_folder"]

_WIDTH = 32
_RATE = 5e-3


def transfer_folder(folder: Path, architecture: str, seed: int) -> Path:
    """Return where the transfers from encoders of an architecture and seed are."""
    return folder / "transfers" / f"{architecture}-seed{seed}"


def cache_codes(folder: Path, preset: Preset, source: str, architecture: str, seed: int) -> str:
    """Run a source over transfer and test images, clean and noisy, unless that is done."""
    file = _codes_file(folder, architecture, seed, source)
    if file.is_file():
        return "was there"
    file.parent.mkdir(parents=True, exist_ok=True)
    data = Data(folder, preset)
    file_of_source = encoder_file(folder, architecture, seed, source)
    encoder = channels_last(load_encoder(file_of_source, architecture))
    images = to_tensor(np.concatenate([data.images("transfer"), data.images("test")]))
    codes = []
    for inputs in (images, _noisy(images)):
        code = evaluate_in_parts(encoder, inputs).contiguous()
        known = code[: preset.transfer].transpose(0, 1).flatten(1)
        shape = (1, -1, 1, 1)
        spread = known.std(1).clamp_min(1e-6)
        codes.append((code - known.mean(1).view(shape)) / spread.view(shape))
    with atomic_write(file) as out:
        np.save(out, torch.stack(codes).numpy(), allow_pickle=False)
    return f"{len(images)} images, clean and noisy"


def transfer(
    folder: Path,
    preset: Preset,
    target: str,
    sources: tuple[str, ...],
    architecture: str,
    seed: int,
) -> str:
    """Measure all transfers to one target, unless that is done.

    Parameters
    ----------
    folder : Path
        With codes of all sources.
    preset : Preset
        How many images, decoders and iterations.
    target : str
        A task.
    sources : tuple of str
        Encoders, the target's own among them.
    architecture, seed
        Of the encoders.

    Returns
    -------
    str
        The best source. ``TARGET.npz`` has ``losses``, float32 [sources, decoders, images], and
        ``trivial``, float32 [images], the loss of the best constant.
    """
    file = transfer_folder(folder, architecture, seed) / f"{target}.npz"
    if is_measured(folder, target, sources, architecture, seed):
        return "was there"
    file.parent.mkdir(parents=True, exist_ok=True)
    data, task = Data(folder, preset), find_task(target)
    scale = Scale.fit(task, data.labels(task, "train"))
    labels = {split: scale(data.labels(task, split)) for split in ("transfer", "test")}
    losses = np.empty((len(sources), preset.decoders, preset.test), dtype=np.float32)
    for row, source in enumerate(sources):
        stored = np.load(_codes_file(folder, architecture, seed, source), mmap_mode="r")
        codes = torch.from_numpy(np.array(stored[int(task.corrupt is not None)]))
        for decoder in range(preset.decoders):
            losses[row, decoder] = _learn(task, preset, codes, labels, decoder)
    trivial = scale.trivial(task, labels["test"]).numpy()
    with atomic_write(file) as out:
        np.savez(out, losses=losses, trivial=trivial, sources=np.array(sources))
    means = dict(zip(sources, losses.mean((1, 2)), strict=True))
    own = means.pop(target, np.nan)
    best = min(means, key=lambda source: means[source]) if means else target
    return (
        f"best from {best}: {means.get(best, own):.3f}; "
        f"own encoder {own:.3f}, trivial {trivial.mean():.3f}"
    )


def is_measured(
    folder: Path, target: str, sources: tuple[str, ...], architecture: str, seed: int
) -> bool:
    """Whether the transfers from exactly these sources to a target are there."""
    file = transfer_folder(folder, architecture, seed) / f"{target}.npz"
    if not file.is_file():
        return False
    with np.load(file) as found:
        return tuple(found["sources"].tolist()) == sources


def _learn(
    task: Task, preset: Preset, codes: Tensor, labels: dict[str, Tensor], number: int
) -> NDArray[np.float32]:
    """Train one decoder, on its own subset, and return its losses on the test images.

    Subsets and initial values are the same for all sources.
    """
    place = list(TASKS).index(task.name)
    order = np.random.default_rng([preset.seed, 6]).permutation(preset.transfer)
    subset = order[number * preset.subset : (number + 1) * preset.subset]
    if len(subset) < preset.subset:
        raise InvalidValueError("preset.subset", preset.subset, "decoders * subset <= transfer")
    inputs, wanted = codes[torch.from_numpy(subset)], labels["transfer"][torch.from_numpy(subset)]
    decoder = make_decoder(task, stream_seed(place, number, 7), _WIDTH)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=_RATE, weight_decay=1e-2, foreach=True)
    # A map has a thousand labels an image; what has one for each is learnt by heart in no time.
    iterations = preset.transfer_iterations // (1 if task.dense else 2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, _RATE, total_steps=iterations, pct_start=0.1
    )
    rng = np.random.default_rng([place, number, 8])
    for _ in range(iterations):
        chosen = torch.from_numpy(rng.choice(preset.subset, preset.transfer_batch, replace=False))
        loss = task.losses(decoder(inputs[chosen]), wanted[chosen]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    predictions = evaluate_in_parts(decoder, codes[preset.transfer :])
    return np.asarray(task.losses(predictions, labels["test"]).numpy())


def _noisy(images: Tensor) -> Tensor:
    """What the target ``denoise`` gives to all sources alike."""
    corrupt = TASKS["denoise"].corrupt
    assert corrupt is not None
    return corrupt(images, torch.Generator().manual_seed(stream_seed(9)))


def _codes_file(folder: Path, architecture: str, seed: int, source: str) -> Path:
    return folder / "codes" / f"{architecture}-seed{seed}" / f"{source}.npy"


def summarize(
    folder: Path, architecture: str, seed: int, targets: tuple[str, ...]
) -> tuple[Path, Path]:
    """Gather the transfers of one set of encoders.

    Parameters
    ----------
    folder : Path
        With all of `targets` measured.
    architecture, seed
        Of the encoders.
    targets : tuple of str
        Rows.

    Returns
    -------
    (Path, Path)
        ``losses.npz``: ``losses``, float16 [targets, sources, decoders, images], ``trivial``,
        float16 [targets, images], and the names as ``targets`` and ``sources``. ``losses.csv``: the
        mean loss of every target, source and decoder.
    """
    into = transfer_folder(folder, architecture, seed)
    losses, trivial, sources = [], [], np.array([])
    for target in targets:
        with np.load(into / f"{target}.npz") as found:
            losses.append(found["losses"])
            trivial.append(found["trivial"])
            sources = found["sources"]
    table, numbers = into / "losses.csv", into / "losses.npz"
    lines = ["target,source,decoder,loss"]
    for target, rows in zip(targets, losses, strict=True):
        for source, decoders in zip(sources, rows, strict=True):
            for number, values in enumerate(decoders):
                lines.append(f"{target},{source},{number},{values.mean(dtype=np.float64):.6f}")
    with atomic_write(table) as out:
        out.write(("\n".join(lines) + "\n").encode())
    with atomic_write(numbers) as out:
        np.savez_compressed(
            out,
            losses=np.stack(losses).astype(np.float16),
            trivial=np.stack(trivial).astype(np.float16),
            targets=np.array(targets),
            sources=sources,
        )
    return numbers, table
