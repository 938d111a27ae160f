"""Encoders with initial values of their own, and the decoders that are trained on them."""

from __future__ import annotations

import torch
from torch import nn

from pyattrx.demo.networks.mini_taskonomy import (
    ARCHITECTURES,
    CODE,
    MixerEncoder,
    ResidualEncoder,
)
from pyattrx.errors import InvalidValueError

from .tasks import Task

__all__ = [
    "ARCHITECTURES",
    "CODE",
    "MixerEncoder",
    "ResidualEncoder",
    "channels_last",
    "make_decoder",
    "make_encoder",
]


def make_encoder(architecture: str, task: Task | None, seed: int) -> nn.Module:
    """Build an encoder with initial values of its own; the global generator stays as it is.

    Parameters
    ----------
    architecture : {"residual", "mixer"}
        Which.
    task : Task, optional
        What it is for; the untrained control is for none.
    seed : int
        Of the initial values.

    Raises
    ------
    InvalidValueError
        There is no such architecture.
    """
    if architecture not in ARCHITECTURES:
        raise InvalidValueError("architecture", architecture, f"one of {', '.join(ARCHITECTURES)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ARCHITECTURES[architecture](grey=task is not None and task.grey)


def make_decoder(task: Task, seed: int, width: int, channels: int = CODE[0]) -> nn.Module:
    """Build what turns codes into predictions of a task.

    Parameters
    ----------
    task : Task
        Its channels, and whether it is dense.
    seed : int
        Of the initial values; the global generator stays as it is.
    width : int
        Channels of the hidden layers.
    channels : int
        Of what it reads.

    Returns
    -------
    Module
        From [N, channels, 8, 8] to the task's [N, C, 32, 32] or [N, C].
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if task.dense:
            return nn.Sequential(
                nn.Conv2d(channels, width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(width, 16 * task.channels, 1),
                nn.PixelShuffle(4),
            )
        return nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(4),  # quarters of the image: left and right stay apart
            nn.Flatten(),
            nn.Linear(4 * width, 64),
            nn.ReLU(),
            nn.Linear(64, task.channels),
        )


def channels_last(network: nn.Module) -> nn.Module:
    """Put a network's weights into the order in which the CPU convolves few channels faster."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
