"""The loop that trains an encoder with its head, and judges it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyattrx._progress import progress
from pyattrx.errors import EncoderError
from pyattrx.fitting.encoder import FitReport
from pyattrx.fitting.labels import Labels
from pyattrx.fitting.splitting import Split

__all__ = ["Training"]

_CHECKS = 25  # how often the validation loss is looked at, if training runs to its end
_WARM_UP = 0.05  # of the steps
_LAST_RATE = 0.05  # of the learning rate
_WEIGHT_DECAY = 0.01
_SHIFT = 16  # images move by up to this fraction of their size


class Training:
    """An encoder and a head that learn, and the best weights so far."""

    def __init__(
        self,
        network: nn.Module,
        head: nn.Module,
        labels: Labels,
        parts: Split,
        pixels: Tensor,
        place: torch.device,
    ) -> None:
        self.both = nn.Sequential(network, head).to(place)
        self._labels = labels
        self._parts = parts
        self._pixels = pixels
        self._place = place
        self.taken = self.best_step = 0

    def run(
        self,
        name: str,
        *,
        steps: int,
        batch_size: int,
        learning_rate: float,
        patience: int,
        flips: bool,
        seed: int,
    ) -> None:
        """Train, and keep the weights of the lowest validation loss."""
        generator = torch.Generator().manual_seed(seed)
        optimiser = torch.optim.AdamW(
            self.both.parameters(), learning_rate, weight_decay=_WEIGHT_DECAY
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps))
        batches = _batches(self._parts.train, batch_size, generator)
        look = max(1, steps // _CHECKS)
        lowest, best, waited = math.inf, None, 0
        with progress(f"fitting {name}", steps) as advance:
            while self.taken < steps and waited < patience:
                self.both.train()
                x, values = self._batch(next(batches), flips, generator)
                loss = self._labels.losses(self.both(x), values).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                self.taken += 1
                advance(1)
                if self.taken % look and self.taken < steps:
                    continue
                current = float(self.losses(self._parts.validation)[0].mean())
                if current < lowest:
                    lowest, waited, self.best_step = current, 0, self.taken
                    best = copy.deepcopy(self.both.state_dict())
                else:
                    waited += 1
        if best is None:
            raise EncoderError(
                f"fitting {name!r} diverged (validation loss {current}); a lower learning_rate "
                f"than {learning_rate} may help"
            )
        self.both.load_state_dict(best)

    def losses(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of every chosen image, and the share of it that is classified rightly."""
        self.both.eval()
        losses, right = [], []
        with torch.no_grad():
            for part in chosen.split(64):
                values = self._labels.values[part]
                predicted = self.both(self._pixels[part].to(self._place)).cpu()
                losses.append(self._labels.losses(predicted, values))
                if self._labels.is_discrete:
                    same = (predicted.argmax(1) == values).float()
                    right.append(same.reshape(len(part), -1).mean(1))
        return torch.cat(losses), torch.cat(right) if right else torch.empty(0)

    def report(self) -> FitReport:
        """Judge the kept weights on the images that decided nothing."""
        parts = self._parts
        losses, right = self.losses(parts.test)
        trivial = self._labels.trivial_losses(parts.train, parts.test)
        spread = (losses - trivial).double().std()
        return FitReport(
            task=self._labels.task,
            n_train=len(parts.train),
            n_validation=len(parts.validation),
            n_test=len(parts.test),
            steps=self.taken,
            best_step=self.best_step,
            loss=float(losses.double().mean()),
            trivial_loss=float(trivial.double().mean()),
            stderr=float(spread) / math.sqrt(len(losses)),
            accuracy=float(right.mean()) if len(right) else None,
        )

    def _batch(
        self, chosen: Tensor, flips: bool, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        x, values = self._pixels[chosen], self._labels.values[chosen]
        if flips:
            mirrored = torch.rand(len(chosen), generator=generator) < 0.5
            x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
            if self._labels.is_dense:
                shape = (-1,) + (1,) * (values.ndim - 1)
                values = torch.where(mirrored.reshape(shape), values.flip(-1), values)
        if self._labels.task == "classification":
            x = _shifted(x, generator)
        return x.to(self._place), values.to(self._place)


def _shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Move a batch by a few pixels, its edges repeated."""
    height, width = x.shape[-2:]
    up, left = height // _SHIFT, width // _SHIFT
    padded = F.pad(x, (left, left, up, up), mode="replicate")
    row = int(torch.randint(2 * up + 1, (), generator=generator))
    column = int(torch.randint(2 * left + 1, (), generator=generator))
    return padded[..., row : row + height, column : column + width]


def _batches(train: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of one size for ever, every image once before any comes again."""
    size = min(size, len(train))
    while True:
        order = train[torch.randperm(len(train), generator=generator)]
        yield from (part for part in order.split(size) if len(part) == size)


def _rate(step: int, steps: int) -> float:
    warm = min(1.0, (step + 1) / max(1.0, _WARM_UP * steps))
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
    return warm * (_LAST_RATE + (1 - _LAST_RATE) * cosine)
