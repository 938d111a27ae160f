"""Networks that see some colours, and tasks whose labels are one: who should be first is known."""

import numpy as np
import torch
from torch import nn

import pyattrx
from pyattrx import Task, recommend

__all__ = ["Channels", "ask", "encoders", "task"]


class Channels(nn.Module):
    """Sees some colours in two columns of the image, and nothing else."""

    def __init__(self, *channels, noise=0):
        super().__init__()
        self.channels = list(channels)
        self.register_buffer("weight", torch.eye(3)[self.channels])

    def forward(self, x):
        small = nn.functional.adaptive_avg_pool2d(x, 2)
        seen = torch.einsum("kc,nchw->nkhw", self.weight, small)
        # Beside something that never changes: of unit length, one colour by itself says nothing.
        return torch.cat([seen, torch.ones_like(small[:, :1])], 1)


def encoders():
    colours = {"red": (0,), "green": (1,), "blue": (2,), "red and green": (0, 1)}
    return [pyattrx.Encoder(Channels(*seen), name=name) for name, seen in colours.items()]


def task(n=60, classes=2, seed=0, **options):
    """Classes are levels of red; the other colours are noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    levels = rng.random((n, 3), np.float32)
    levels[:, 0] = 0.2 + 0.6 * labels / (classes - 1) + 0.05 * rng.standard_normal(n)
    images = np.clip(levels, 0, 1)[:, :, None, None].repeat(8, 2).repeat(8, 3).astype(np.float32)
    return Task.from_arrays(images, labels, **options)


def ask(candidates=None, images=None, **options):
    return recommend(
        encoders() if candidates is None else candidates,
        task() if images is None else images,
        **{"cache": False, "device": "cpu", **options},
    )
