"""Training of a small encoder for a new task from a few labelled images."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyattrx._ambient import neutrally
from pyattrx._checks import integer
from pyattrx.encoders import Normalize, random_state_kept
from pyattrx.errors import EncoderError, FitWarning, InvalidTypeError, InvalidValueError
from pyattrx.fitting.encoder import FittedEncoder
from pyattrx.fitting.given import labelled_part
from pyattrx.fitting.labels import Kind, Labels
from pyattrx.fitting.networks import SmallEncoder, make_head
from pyattrx.fitting.splitting import split
from pyattrx.fitting.training import Training
from pyattrx.probes import Probes
from pyattrx.running import resolve_device
from pyattrx.tasks import Task

__all__ = ["fit_target"]

_LEAST_STD = 1e-3


@neutrally
def fit_target(
    images: Tensor | Probes | Task,
    targets: Any = None,
    *,
    task: Kind | None = None,
    name: str | None = None,
    architecture: nn.Module | None = None,
    input_size: int | tuple[int, int] = 64,
    holdout: float = 0.2,
    steps: int = 600,
    batch_size: int = 32,
    learning_rate: float = 2e-3,
    patience: int = 8,
    flips: bool | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
) -> FittedEncoder:
    """Train an encoder for a task that has no network yet, to be asked about with.

    To find the network to start from, use `pyattrx.recommend`, which needs no target: it reads the
    labels themselves. This is for those who want a network of the task in the space of others
    (`pyattrx.affinity`, `Zoo.query`); a few hundred labelled images and some minutes on a CPU make
    one. On rendered rooms such targets ranked sources well (Spearman's correlation with transfers
    .79; .90 for targets trained in full: docs/transfer.md). On published networks and real images
    "recommended" ranked by it the wrong way round, and well behind scores that use the labels with
    its output as one vector, ``read_at(output=lambda m, x: m(x).flatten(1))``; by no
    published method did it do better than a linear probe on the same labels
    (docs/evidence-details.md).

    Parameters
    ----------
    images : Tensor [N, 3, H, W], Probes or Task
        RGB, floating in [0, 1] or uint8; at least 10. Groups of probes are never divided between
        training and holdout. Of a `pyattrx.Task` the images that have a label.
    targets : Tensor or array_like
        Left out with a `Task`, which has labels.
        ``classification``: int or str [N]. ``regression``: float [N] or [N, K].
        ``dense_classification``: int [N, h, w]. ``dense_regression``: float [N, C, h, w]. Maps
        larger than `input_size` are reduced to it.
    task : str, optional
        One of these; told from type and shape of `targets` if left out.
    name : str, optional
        Of the encoder. That of the `Task`, or "target", if left out.
    architecture : nn.Module, optional
        An encoder from normalised images ``[N, 3, *input_size]`` to [N, C] or [N, C, h, w], trained
        from the weights it has in a copy. `pyattrx.fitting.SmallEncoder` if left out.
    input_size : int or (int, int)
        Height and width that images are resized to, here and whenever the encoder is run.
    holdout : float
        Share of the images, in (0, 1), that are not learnt from: one half of them stops the
        training, the other is for the report.
    steps : int
        Most steps of training, at least 1.
    batch_size : int
        Images in a step, at least 2.
    learning_rate : float
        Of AdamW, positive; falls along a cosine.
    patience : int
        Training stops after so many looks at the validation loss, `steps` / 25 apart, without a
        better one. The best weights are kept.
    flips : bool, optional
        Mirror images at random, and maps with them; numbers and classes stay as they are. If left
        out, only for ``classification``, which also shifts images by up to 1/16.
    seed : int
        Of weights, split, batches and augmentation. The same seed gives the same bits on the same
        CPU with the same number of threads.
    device : str or torch.device, optional
        Where to train; the GPU if there is one. The encoder comes back on the CPU.

    Returns
    -------
    FittedEncoder
        An `Encoder` with a `FitReport` as `report`. An interrupted call (Ctrl-C) returns nothing
        and leaves nothing behind.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        Wrong arguments: other images, labels that are not one an image, NaN, a single class, labels
        all the same, too few images or groups to hold some out.
    EncoderError
        The architecture cannot be copied or run, its output is of another shape, or training
        diverges.

    Warns
    -----
    FitWarning
        The encoder is not clearly better than a prediction without the image.

    Examples
    --------
    >>> images = torch.rand(60, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> red = images[:, 0].mean((1, 2))
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     encoder = fit_target(images, red, name="red", steps=2, input_size=16)
    >>> encoder.name, encoder.report.task, encoder.report.n_train
    ('red', 'regression', 48)
    """
    if isinstance(images, Task):
        name = images.name if name is None else name
        images, targets, task = labelled_part(images, targets, task)
    name = "target" if name is None else name
    probes = images if isinstance(images, Probes) else Probes.from_tensor(images)
    size = _checked(input_size, holdout, steps, batch_size, learning_rate, patience, seed)
    labels = Labels(targets, len(probes), task, size)
    parts = split(probes.groups, labels, holdout, seed)
    labels.standardise(parts.train)
    place = resolve_device(device)
    pixels = F.interpolate(probes.images(), size, mode="bilinear", antialias=True)
    normalize = _statistics(pixels[parts.train])
    with random_state_kept(place), _exactly():
        torch.manual_seed(seed)
        network, head = _networks(architecture, normalize(pixels[:2]), labels)
        encoder = FittedEncoder(network, name=name, transform=normalize, input_size=size)
        training = Training(network, head, labels, parts, normalize(pixels), place)
        training.run(
            name,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            patience=patience,
            flips=labels.task == "classification" if flips is None else flips,
            seed=seed,
        )
        encoder.report = report = training.report()
        network.cpu().eval()
    if not report.beats_trivial:
        warnings.warn(
            f"{name!r}: the encoder is not clearly better than a prediction without the image "
            f"(held-out loss {report.loss:.3f} +- {report.stderr:.3f}, without the image "
            f"{report.trivial_loss:.3f}; {report.n_train} images to learn from): its nearest "
            "sources may mean little; more images or steps may help",
            FitWarning,
            stacklevel=2,
        )
    return encoder


def _statistics(pixels: Tensor) -> Normalize:
    """Mean and standard deviation of the channels, which the encoder expects its images to have."""
    channels = pixels.double().movedim(1, 0).reshape(3, -1)
    std = channels.std(1).clamp(min=_LEAST_STD)
    return Normalize(channels.mean(1).tolist(), std.tolist())


def _networks(
    architecture: nn.Module | None, example: Tensor, labels: Labels
) -> tuple[nn.Module, nn.Module]:
    if architecture is None:
        network: nn.Module = SmallEncoder()
    elif not isinstance(architecture, nn.Module):
        raise InvalidTypeError("architecture", architecture, "a torch.nn.Module, or None")
    else:
        try:
            network = copy.deepcopy(architecture).float().requires_grad_()
        except Exception as error:
            raise EncoderError(
                f"architecture cannot be copied: {type(error).__name__}: {error}"
            ) from error
    try:
        with torch.no_grad():
            features = network.cpu().eval()(example)
    except Exception as error:
        raise EncoderError(
            f"architecture cannot be run on images {tuple(example.shape)}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(features, Tensor) or features.ndim not in (2, 4) or len(features) != 2:
        shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise EncoderError(f"architecture returns {shape}: expected [N, C] or [N, C, h, w]")
    return network, make_head(features, labels.channels, labels.size)


def _exactly() -> Any:
    """Deterministic convolutions on a GPU; put back afterwards."""
    return torch.backends.cudnn.flags(deterministic=True, benchmark=False)


def _checked(
    input_size: Any,
    holdout: Any,
    steps: Any,
    batch_size: Any,
    learning_rate: Any,
    patience: Any,
    seed: Any,
) -> tuple[int, int]:
    for argument, value, least in (
        ("steps", steps, 1),
        ("batch_size", batch_size, 2),
        ("patience", patience, 1),
        ("seed", seed, 0),
    ):
        integer(argument, value, least)
    if not 0 < holdout < 1:
        raise InvalidValueError("holdout", holdout, "a share between 0 and 1")
    if not 0 < learning_rate < math.inf:
        raise InvalidValueError("learning_rate", learning_rate, "a positive number")
    pair = input_size if isinstance(input_size, (tuple, list)) else (input_size, input_size)
    if len(pair) != 2 or not all(isinstance(v, int) and v >= 16 for v in pair):
        raise InvalidValueError(
            "input_size", input_size, "an integer of at least 16, or two of them"
        )
    return int(pair[0]), int(pair[1])
