"""Trains one encoder for one task, and compares it with the best constant prediction.

Every batch and every initial value depends on the seed, the task and the iteration alone, so a
training that was stopped ends with the same bits as one that was not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from pyattrx._files import atomic_write
from pyattrx.demo.networks.mini_taskonomy import load_encoder

from .data import Data, to_tensor
from .networks import channels_last, make_decoder, make_encoder
from .presets import Preset
from .tasks import TASKS, Scale, Task, find_task

__all__ = ["UNTRAINED", "encoder_file", "evaluate_in_parts", "load_encoder", "run_folder",
           "stream_seed", "train"]  # fmt: skip

UNTRAINED = "untrained"
_DECODER_WIDTH = 64
_RATE, _DECAY = 3e-3, 1e-3
_CHECKPOINT = 250  # iterations
_WATCHED = 500  # images of the validation loss
_SETTLED = 0.02  # of the trivial loss, from the checkpoint nearest to 80 % to the end


def run_folder(folder: Path, architecture: str, seed: int) -> Path:
    """Return where the encoders of an architecture and seed are."""
    return folder / "encoders" / f"{architecture}-seed{seed}"


def encoder_file(folder: Path, architecture: str, seed: int, name: str) -> Path:
    """Return the file of an encoder's weights; its curve is beside it as .json."""
    return run_folder(folder, architecture, seed) / f"{name}.safetensors"


def stream_seed(*parts: int) -> int:
    """Mix numbers into a seed, so that no two purposes share random numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def train(folder: Path, preset: Preset, name: str, architecture: str, seed: int) -> str:
    """Train the encoder of a task, unless its file is there.

    Parameters
    ----------
    folder : Path
        With a complete data set.
    preset : Preset
        How long.
    name : str
        A task, or ``untrained`` for the control.
    architecture : {"residual", "mixer"}
        Of the encoder.
    seed : int
        Of the initial values and the batches.

    Returns
    -------
    str
        What became of it. The weights are beside a JSON file with the curve of the validation loss,
        the loss on test scenes, and the loss of the best constant prediction there.
    """
    file = encoder_file(folder, architecture, seed, name)
    if file.is_file():
        return "was there"
    file.parent.mkdir(parents=True, exist_ok=True)
    if name == UNTRAINED:
        control = make_encoder(architecture, None, stream_seed(seed, len(TASKS)))
        _save(control, file)
        return "initial values"
    run = _Run(Data(folder, preset), preset, find_task(name), architecture, seed)
    checkpoint = file.with_suffix(".checkpoint")
    if checkpoint.is_file():
        run.resume(checkpoint)
    for iteration in run.remaining():
        run.step(iteration)
        done = iteration + 1
        if done % _CHECKPOINT == 0 or done == preset.iterations:
            run.watch(done)
            with atomic_write(checkpoint) as out:
                torch.save(run.state(done), out)
    report = run.report()
    with atomic_write(file.with_suffix(".json")) as out:
        out.write((json.dumps(report, indent=2) + "\n").encode())
    _save(run.encoder, file)
    checkpoint.unlink()
    return f"loss {report['loss']:.3f}, trivial {report['trivial']:.3f}"


class _Run:
    """A training that can be stopped and taken up."""

    def __init__(
        self, data: Data, preset: Preset, task: Task, architecture: str, seed: int
    ) -> None:
        self.data, self.preset, self.task = data, preset, task
        self.architecture, self.seed = architecture, seed
        self.number = list(TASKS).index(task.name)
        self.images = data.images("train")
        labels = data.labels(task, "train")
        self.scale = Scale.fit(task, labels)
        self.labels = labels
        self.encoder = make_encoder(architecture, task, stream_seed(seed, self.number))
        decoder = make_decoder(task, stream_seed(seed, self.number, 1), _DECODER_WIDTH)
        self.model = channels_last(nn.Sequential(self.encoder, decoder))
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=_RATE, weight_decay=_DECAY, foreach=True
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, _RATE, total_steps=preset.iterations, pct_start=0.1
        )
        self.curve: list[tuple[int, float]] = []
        self.done = 0
        self.seconds = 0.0

    def remaining(self) -> Iterator[int]:
        """Iterations still to do; they are timed."""
        begun = time.perf_counter() - self.seconds
        for iteration in range(self.done, self.preset.iterations):
            yield iteration
            self.seconds = time.perf_counter() - begun

    def step(self, iteration: int) -> None:
        """Learn from one batch, half of it mirrored."""
        rng = np.random.default_rng([self.seed, self.number, iteration, 2])
        chosen = self._batch(iteration)
        images = to_tensor(self.images[chosen])
        labels = self.scale(self.labels[torch.from_numpy(chosen)])
        turned = torch.from_numpy(np.flatnonzero(rng.random(len(chosen)) < 0.5))
        images[turned] = images[turned].flip(-1)
        # Scaling mixes with the signs of mirrored labels: mirror first what is not scaled yet.
        raw = self.labels[torch.from_numpy(chosen)[turned]]
        labels[turned] = self.scale(self.task.mirrored(raw))
        generator = torch.Generator().manual_seed(stream_seed(self.seed, self.number, iteration, 3))
        self.model.train()
        loss = self.task.losses(self.model(_input(self.task, images, generator)), labels).mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimizer.step()
        self.schedule.step()

    def _batch(self, iteration: int) -> NDArray[np.int64]:
        """Indices of a batch: every epoch is a permutation of its own, the rest of it left out."""
        size = self.preset.batch
        epoch, at = divmod(iteration, len(self.images) // size)
        rng = np.random.default_rng([self.seed, self.number, epoch, 4])
        return rng.permutation(len(self.images))[at * size : (at + 1) * size]

    def watch(self, done: int) -> None:
        """Note the validation loss."""
        losses, _ = self._held_out("transfer", _WATCHED)
        self.curve.append((done, losses))

    def _held_out(self, split: str, limit: int | None = None) -> tuple[float, float]:
        """Mean loss of the model, and of the best constant."""
        images = to_tensor(self.data.images(split)[:limit])
        labels = self.scale(self.data.labels(self.task, split)[:limit])
        generator = torch.Generator().manual_seed(stream_seed(self.number, 5))
        inputs = _input(self.task, images, generator)
        predictions = evaluate_in_parts(self.model, inputs)
        losses = self.task.losses(predictions, labels)
        return float(losses.mean()), float(self.scale.trivial(self.task, labels).mean())

    def report(self) -> dict[str, Any]:
        """What the JSON file says."""
        loss, trivial = self._held_out("test")
        before = min(self.curve, key=lambda point: abs(point[0] - 0.8 * self.preset.iterations))
        return {
            "task": self.task.name,
            "architecture": self.architecture,
            "seed": self.seed,
            "iterations": self.preset.iterations,
            "batch": self.preset.batch,
            "train_images": self.preset.train,
            "loss_name": self.task.loss,
            "loss": loss,
            "trivial": trivial,
            "curve": self.curve,
            "settled": before[1] - self.curve[-1][1] < _SETTLED * trivial,
            "seconds": self.seconds,
        }

    def state(self, done: int) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "done": done,
            "iterations": self.preset.iterations,
            "seconds": self.seconds,
            "curve": self.curve,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint, if it is of as long a training."""
        state = torch.load(checkpoint, weights_only=True)
        if state["iterations"] != self.preset.iterations:
            return
        self.done, self.seconds = state["done"], state["seconds"]
        self.curve = [(int(i), float(loss)) for i, loss in state["curve"]]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


def _input(task: Task, images: Tensor, generator: torch.Generator) -> Tensor:
    return images if task.corrupt is None else task.corrupt(images, generator)


def evaluate_in_parts(model: nn.Module, inputs: Tensor, size: int = 250) -> Tensor:
    """Run a network in evaluation mode, so many images at a time."""
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(part) for part in inputs.split(size)])


def _save(encoder: nn.Module, file: Path) -> None:
    weights = {k: v.detach().contiguous() for k, v in encoder.state_dict().items()}
    with atomic_write(file) as out:
        out.write(save(weights))
