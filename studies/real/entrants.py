"""Who takes part: published networks, and those that are there to lead a ranking astray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from pyattrx import Encoder
from pyattrx.demo.minitaskonomy import FOLDER
from pyattrx.demo.networks.mini_taskonomy import as_encoder, load_encoder

from .networks import candidates

__all__ = ["GROUPS", "Entrant", "entrants"]

# Networks by what is asked of a score with them.
GROUPS = {
    "strangers": "published networks, as they are",
    "one size": "the encoders of MiniTaskonomy: one architecture, other training",
    "half size": "published networks whose input is half as large as it should be",
    "double size": "the same, twice as large",
    "random": "architectures of published networks that nobody has trained",
}
_HALVED = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2", "mobilenet-v2")
_DOUBLED = ("cifar-resnet20", "cifar-resnet56", "mobilefacenet")
_RANDOM = ("efficientnet-lite0", "cifar-resnet56", "mobilefacenet")


@dataclass(frozen=True)
class Entrant:
    """A network that takes part.

    Attributes
    ----------
    name : str
    group : str
        A key of `GROUPS`.
    trained_for : str
    source : str
        Where it was published.
    licence : str
    load : callable
        Makes the encoder, to be read where `pyattrx.recommend` reads a network of which nobody has
        said anything.
    """

    name: str
    group: str
    trained_for: str
    source: str
    licence: str
    load: Callable[[], Encoder]


def entrants(weights: Path) -> tuple[list[Entrant], list[str]]:
    """List who takes part.

    Parameters
    ----------
    weights : Path
        See `candidates`.

    Returns
    -------
    there : list of Entrant
    missing : list of str
        Who is not there, and how to get it.
    """
    listed = candidates(weights)
    missing = [f"{one.name}: {one.missing}" for one in listed if one.missing is not None]
    found = {one.name: one for one in listed if one.missing is None}
    there = [
        Entrant(n, "strangers", c.task, c.source, c.licence, _plainly(c.load))
        for n, c in found.items()
    ]
    for group, names, factor in (("half size", _HALVED, 0.5), ("double size", _DOUBLED, 2.0)):
        for name in (name for name in names if name in found):
            c = found[name]
            load = _plainly(c.load, name=f"{name}, {group}", factor=factor)
            there.append(Entrant(f"{name}, {group}", group, c.task, c.source, c.licence, load))
    for name in (name for name in _RANDOM if name in found):
        load = _untrained(_plainly(found[name].load, name=f"{name}, random"))
        there.append(Entrant(f"{name}, random", "random", "nothing", "initialised here", "", load))
    there += [
        Entrant(
            f"rooms-{file.stem}",
            "one size",
            f"{file.stem} on rendered rooms",
            "pyattrx",
            "",
            _of_rooms(file),
        )
        for file in sorted(FOLDER.glob("*.safetensors"))
    ]
    return there, missing


def _plainly(
    load: Callable[[], Encoder], name: str | None = None, factor: float = 1.0
) -> Callable[[], Encoder]:
    """As somebody loads it who says no more than its preprocessing."""

    def plain() -> Encoder:
        given = load()
        size = given.input_size
        if factor != 1:
            height, width = (size, size) if isinstance(size, int) else (size or (224, 224))
            size = (int(height * factor), int(width * factor))
        return Encoder(
            given.module, name=name or given.name, transform=given.transform, input_size=size
        )

    return plain


def _untrained(load: Callable[[], Encoder]) -> Callable[[], Encoder]:
    def fresh() -> Encoder:
        encoder = load()
        torch.manual_seed(0)
        for part in encoder.module.modules():
            reset = getattr(part, "reset_parameters", None)
            if isinstance(part, nn.Module) and callable(reset):
                reset()
        return encoder

    return fresh


def _of_rooms(file: Path) -> Callable[[], Encoder]:
    def load() -> Encoder:
        given = as_encoder(load_encoder(file, "residual"), f"rooms-{file.stem}")
        return Encoder(
            given.module, name=given.name, transform=given.transform, input_size=given.input_size
        )

    return load
