"""How good every stage of a source really is: a decoder trained on it, for a task, from few images.

The criterion, written before anything was measured: a method of `pyattrx.layers` is of use where
the stage that it names costs less than the last stage, the middle one, and the one that is best for
the other tasks. What a choice costs is its loss less that of the best stage, in units of the task's
trivial loss, over what a stage drawn by chance costs (regret; pairs of task and source weigh what
they are worth). It has to hold for both numbers of images, by intervals over tasks and sources that
are drawn anew: the interval of a difference must not contain 0.

A decoder reads maps of any size: what a stage says of one of 8 x 8 places, its pixels side by side,
is the input of the first convolution. So no stage is at a disadvantage for its resolution, and
early ones have more weights to learn, as they do for a user.
"""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pyattrx._files import atomic_write
from pyattrx.demo import minitaskonomy
from pyattrx.demo.networks.mini_taskonomy import load_encoder

from ..minitaskonomy.data import Data, to_tensor
from ..minitaskonomy.jobs import Say
from ..minitaskonomy.networks import CODE, channels_last, make_decoder
from ..minitaskonomy.presets import Preset
from ..minitaskonomy.tasks import TASKS, Scale, Task, find_task
from ..minitaskonomy.train import evaluate_in_parts, stream_seed

__all__ = ["IMAGES", "SOURCES", "STAGES", "TARGETS", "Row", "measure", "pairs", "read"]

STAGES = ("stem", "block1", "block2", "block3", "code")
IMAGES = (320, 32)  # that a decoder learns from
TARGETS = (
    "autoencoder", "edge2d", "rgb2depth", "rgb2sfnorm", "segmentsemantic", "class_places",
    "room_layout", "vanishing_point",
)  # fmt: skip
SOURCES = ("keypoint2d", "denoise", "curvature", "reshade", "segment25d", "class_1000")
_WIDTH, _RATE, _BATCH, _ITERATIONS = 32, 5e-3, 32, 200

# Task, source, images, stage and mean loss on the test images, over that of the best constant.
Row = tuple[str, str, int, str, float]


def pairs() -> list[tuple[str, str]]:
    """Pairs of task and source, in an order of which every beginning has some of all."""
    return [
        (TARGETS[(place + turn) % len(TARGETS)], source)
        for turn in range(len(TARGETS))
        for place, source in enumerate(SOURCES)
    ]


def measure(folder: Path, preset: Preset, file: Path, minutes: float, say: Say) -> None:
    """Train decoders that are missing, pair by pair; stopped, it goes on.

    Parameters
    ----------
    folder : Path
        Of `minitaskonomy`, with rendered scenes.
    preset : Preset
        Of the scenes.
    file : Path
        CSV of what is measured; rows are added.
    minutes : float
        No pair is begun after so many.
    say : callable
        Is told what is done.
    """
    begun = time.monotonic()
    found = read(file)
    done = {(task, source) for task, source, *_ in found}
    data = Data(folder, preset)
    images = to_tensor(np.concatenate([data.images("transfer"), data.images("test")]))
    seen: dict[str, dict[str, Tensor]] = {}
    for target, source in pairs():
        if (target, source) in done:
            continue
        if time.monotonic() - begun > 60 * minutes:
            say(f"{minutes:g} minutes are over; the same command goes on from here")
            return
        if source not in seen:
            seen[source] = _stages(source, images, preset.transfer)
        started = time.process_time()
        found += _pair(target, source, seen[source], data)
        _write(file, found)
        say(f"{target} from {source}: {time.process_time() - started:.0f} s of the CPU")


def read(file: Path) -> list[Row]:
    """Read what is measured; nothing where there is no file yet."""
    if not file.is_file():
        return []
    with file.open(newline="") as opened:
        return [
            (row["task"], row["source"], int(row["images"]), row["stage"], float(row["loss"]))
            for row in csv.DictReader(opened)
        ]


def _write(file: Path, rows: list[Row]) -> None:
    lines = [
        "task,source,images,stage,loss",
        *(
            f"{task},{source},{images},{stage},{loss:.6f}"
            for task, source, images, stage, loss in rows
        ),
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as out:
        out.write(("\n".join(lines) + "\n").encode())


def _stages(source: str, images: Tensor, known: int) -> dict[str, Tensor]:
    """What every stage of a source says of images, [N, C, 8, 8] each, channels of equal spread."""
    network = channels_last(
        load_encoder(minitaskonomy.FOLDER / f"{source}.safetensors", "residual")
    )
    seen: dict[str, list[Tensor]] = {stage: [] for stage in STAGES}
    for stage in STAGES:
        network.get_submodule(stage).register_forward_hook(
            lambda _, __, answer, at=stage: seen[at].append(answer.detach().clone())
        )
    evaluate_in_parts(network, images)
    found = {}
    for stage, parts in seen.items():
        maps = torch.cat(parts).contiguous()
        of_known = maps[:known].transpose(0, 1).flatten(1)
        shape = (1, -1, 1, 1)
        maps = (maps - of_known.mean(1).view(shape)) / of_known.std(1).clamp_min(1e-6).view(shape)
        found[stage] = nn.functional.pixel_unshuffle(maps, maps.shape[-1] // CODE[1])
    return found


def _pair(target: str, source: str, stages: dict[str, Tensor], data: Data) -> list[Row]:
    task = find_task(target)
    scale = Scale.fit(task, data.labels(task, "train"))
    labels = {split: scale(data.labels(task, split)) for split in ("transfer", "test")}
    trivial = float(scale.trivial(task, labels["test"]).mean(dtype=torch.float64))
    rows = []
    for count in IMAGES:
        for stage in STAGES:
            loss = _learn(task, data.preset, stages[stage], labels, count)
            rows.append((target, source, count, stage, loss / trivial))
    return rows


def _learn(
    task: Task, preset: Preset, maps: Tensor, labels: dict[str, Tensor], count: int
) -> float:
    """Train a decoder on some images, and return its mean loss on the test images.

    Images, batches and initial values (but for the first layer's, which has another size) are the
    same for all sources and stages.
    """
    place = list(TASKS).index(task.name)
    order = np.random.default_rng([preset.seed, 6]).permutation(preset.transfer)[:count]
    subset = torch.from_numpy(order)
    inputs, wanted = maps[subset], labels["transfer"][subset]
    decoder = make_decoder(task, stream_seed(place, count, 17), _WIDTH, maps.shape[1])
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=_RATE, weight_decay=1e-2, foreach=True)
    iterations = _ITERATIONS // (1 if task.dense else 2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, _RATE, total_steps=iterations, pct_start=0.1
    )
    rng = np.random.default_rng([place, count, 18])
    for _ in range(iterations):
        chosen = torch.from_numpy(rng.choice(count, min(_BATCH, count), replace=False))
        loss = task.losses(decoder(inputs[chosen]), wanted[chosen]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    predictions = evaluate_in_parts(decoder, maps[preset.transfer :])
    return float(task.losses(predictions, labels["test"]).mean(dtype=torch.float64))
