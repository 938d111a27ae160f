"""The networks of the study: which are compared with one another, and what tables call them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pyattrx import Encoder
from pyattrx.demo.networks.mini_taskonomy import as_encoder, load_encoder

from ..minitaskonomy.tasks import TASKS
from ..minitaskonomy.train import UNTRAINED, encoder_file

__all__ = ["MIXERS", "Network", "Networks", "both_architectures", "mixer", "one_architecture"]

# Tasks that the second architecture is trained for.
MIXERS = (
    "autoencoder", "class_1000", "edge2d", "keypoint3d", "rgb2depth", "rgb2sfnorm",
    "segmentsemantic", "vanishing_point",
)  # fmt: skip


def mixer(task: str) -> str:
    """Name the network of the second architecture for a task."""
    return f"{task}@mixer"


@dataclass(frozen=True)
class Network:
    """An encoder that `minitaskonomy` trained.

    Parameters
    ----------
    label : str
        Its name in tables.
    task : str
        A task, or ``untrained``.
    architecture : {"residual", "mixer"}
    seed : int
    """

    label: str
    task: str
    architecture: str
    seed: int

    @property
    def run(self) -> str:
        """The set of encoders that it belongs to."""
        return f"{self.architecture}-seed{self.seed}"

    def file(self, folder: Path) -> Path:
        """Return where its weights are in a folder of `minitaskonomy`."""
        return encoder_file(folder, self.architecture, self.seed, self.task)

    def load(self, folder: Path) -> Encoder:
        """Load it."""
        network = load_encoder(self.file(folder), self.architecture)
        return as_encoder(network, self.label)


@dataclass(frozen=True)
class Networks:
    """Networks that are compared with one another.

    Parameters
    ----------
    run : str
        Names their tables.
    members : tuple of Network
    """

    run: str
    members: tuple[Network, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Their names, the rows and columns of tables."""
        return tuple(network.label for network in self.members)


def one_architecture(seed: int, tasks: tuple[str, ...] = (*TASKS, UNTRAINED)) -> Networks:
    """All tasks and the untrained control, named by their tasks."""
    members = tuple(Network(task, task, "residual", seed) for task in tasks)
    return Networks(f"residual-seed{seed}", members)


def both_architectures(seed: int) -> Networks:
    """All tasks, and some of them again by the second architecture."""
    first = one_architecture(seed, tuple(TASKS)).members
    second = tuple(Network(mixer(task), task, "mixer", seed) for task in MIXERS)
    return Networks(f"both-seed{seed}", (*first, *second))
